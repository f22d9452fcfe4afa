import os
from pathlib import Path

import numpy as np
import pytest

from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.timing.clock import Effort

QUICK = Care(examples=10, search_s=1.0, effort=Effort(seconds=0.1, minimum_rounds=12, maximum_rounds=12))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def folder() -> TargetFolder:
    return TargetFolder(Path(__file__).parent / "row_sum")


@pytest.fixture
def judge(folder, cache_dir) -> Judge:
    threads = min(2, len(os.sched_getaffinity(0)))
    made = Judge(folder, "float32", folder.workloads("tiny", "float32"), cache_dir, threads, QUICK)
    yield made
    made.close()


@pytest.fixture
def candidate():
    return lambda text: read_candidate("row_sum", "cpp", text, "test")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
