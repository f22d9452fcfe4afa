"""Two runners beside each other: the same inputs for both, and answers that are looked at."""

from pathlib import Path

import numpy as np
import pytest

from kernelsearch.compare.duel import Duel
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.timing.clock import Effort
from tests.compare.conftest import ROW_SUM, SOURCE

QUICK = Effort(seconds=0.0, minimum_rounds=8, maximum_rounds=8, patience=0.0, close_calls=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Shared, because compiling the runner takes most of the time."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def duel(cache):
    folder = TargetFolder(ROW_SUM)
    opened: list[Duel] = []

    def start(first: str, second: str = SOURCE) -> Duel:
        candidates = tuple(read_candidate("row_sum", "cpp", source, "x") for source in (first, second))
        workload = folder.workloads(None, "float32")[0]
        opened.append(Duel(folder, workload, candidates, cache_dir=cache, threads=1, rng=np.random.default_rng()))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_both_sides_get_the_same_inputs_and_give_the_same_answers(duel):
    started = duel(SOURCE)
    samples = started.measure(QUICK)
    assert started.distance == 0.0
    assert min(samples.candidate) > 0


def test_a_kernel_that_computes_something_else_is_far_away(duel):
    started = duel(SOURCE.replace("scale * sum", "2 * scale * sum"))
    started.measure(QUICK)
    assert started.distance == pytest.approx(1.0, rel=0.01)


def test_an_output_that_was_never_written_has_no_distance(duel):
    started = duel(SOURCE.replace("write(total + n, scale * sum);", ""))
    started.measure(QUICK)
    assert np.isnan(started.distance)
