"""What a study costs beside judging, with a judge that answers at once: `pytest bench/test_study_overhead.py`."""

import os
from unittest import mock

import pytest

from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import Budget, RandomProposer, SweepProposer, run_study
from kernelsearch.spec import Candidate, Gate, Status, Verdict, read_candidate

LIMIT_S = 0.05
TRIALS = 100
VALUES = " ".join(str(value) for value in range(100))
SOURCE = f"// tune: X in {VALUES}\n// tune: Y in {VALUES}\n// tune: Z in {VALUES}\n" + "// a line of code\n" * 200
GATES = tuple(Gate(f"gate{index}", True, 0.5) for index in range(10))


def judge(candidate: Candidate, to_beat: float | None) -> Verdict:
    low = 2.0 - abs(candidate.tunables["X"] - 50) / 50
    return Verdict("toy", candidate.digest, "cpp", "float32", Status.PASSED, "d" * 200, 1.0, gates=GATES, low=low)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("records", [1, 1000, 10_000])
def test_overhead_of_a_trial(benchmark, tmp_path, records):
    """TRIALS more trials of proposers that had `records` before, on the ledger that holds those."""
    seeds = [read_candidate("toy", "cpp", SOURCE, "seed")]
    proposers = [SweepProposer(seeds, 0), RandomProposer(seeds, 0)]
    ledger, objects = Ledger(tmp_path / "ledger.jsonl"), Objects(tmp_path / "objects")

    def study(trials: int) -> None:
        run_study(proposers, judge, ledger, context={}, budget=Budget(trials=trials), objects=objects)

    with mock.patch.object(os, "fsync"):  # only while filling: what is timed below flushes to the disk
        study(records)
    benchmark.pedantic(study, args=(TRIALS,), rounds=3)
    benchmark.extra_info["ms_per_trial"] = 1000 * benchmark.stats["median"] / TRIALS
    assert benchmark.stats["median"] / TRIALS < LIMIT_S
