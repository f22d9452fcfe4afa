"""A command run in this process: importing torch again for each would take most of the tests' time."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelsearch.cli import main


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `kernelsearch` with its state in `tmp_path`."""
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["kernelsearch", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, printed.out, printed.err)

    return run
