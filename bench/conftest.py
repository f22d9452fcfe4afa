"""Options of the kernel benchmarks."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kernelsearch")
    group.addoption("--workload", default="tiny", help="shapes of the kernel benchmarks: tiny, d4, ...")
    group.addoption("--kernel-seconds", type=float, default=0.5, help="seconds of paired rounds for each ratio")
