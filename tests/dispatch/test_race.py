"""The race between two workers, with a worker that does not train."""

import os
import sys
from pathlib import Path

import pytest

from kernelsearch.dispatch.contender import Contender
from kernelsearch.dispatch.race import Plan, Progress, run_race
from kernelsearch.dispatch.result import RaceResult
from kernelsearch.errors import Infrastructure

WORKER = (sys.executable, "-S", str(Path(__file__).parent / "fake_worker.py"))
PLAN = Plan("tiny", until_bpb=0.1, chunk_steps=5, evaluate_every=10, max_steps=60, timeout_s=10)


def contender(*, factor: float = 1.0, shift: float = 0.0, launches: int | None = 9, fail: object = None) -> Contender:
    return Contender(WORKER, {"factor": factor, "shift": shift, "launches": launches, "fail": fail})


def race(promoted: Contender, plan: Plan = PLAN, baseline: Contender | None = None) -> RaceResult:
    return run_race(baseline or contender(factor=2.0, launches=None), promoted, plan)


def children() -> list[str]:
    """Command lines of our workers that still run, or were not reaped."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    texts = [Path(f"/proc/{child}/cmdline").read_text() for child in found]
    return [text for text in texts if not text or "fake_worker" in text]


def test_half_the_step_time_is_twice_the_speed():
    result = race(contender())
    assert result.speedup == pytest.approx(2.0) and result.low == pytest.approx(2.0) == result.high
    assert (result.baseline.steps, result.promoted.tokens, result.void) == (40, 400, False)


def test_equal_losses_are_bitwise_equal():
    result = race(contender())
    assert (result.equality, result.max_loss_gap) == ("bitwise", 0.0)


def test_losses_inside_the_band_are_within_noise():
    plan = Plan("tiny", 0.1, 5, 10, 60, band={"max_loss_gap": 0.002, "bpb_gap": 0.002})
    result = race(contender(shift=-0.001), plan)
    assert result.equality == "within-noise" and result.max_loss_gap == pytest.approx(0.001)


def test_losses_outside_the_band_are_different():
    plan = Plan("tiny", 0.1, 5, 10, 60, band={"max_loss_gap": 0.002, "bpb_gap": 0.002})
    assert race(contender(shift=-0.01), plan).equality == "different"


def test_nan_losses_are_different_and_leave_valid_json():
    result = race(contender(shift=float("nan")))
    assert result.equality == "different" and result.max_loss_gap is None
    assert result.as_json()["curves"]["promoted"]["loss"] == [None] * 60


def test_more_steps_to_the_target_cost_speedup():
    result = race(contender(shift=0.02))  # 4 / steps + 0.02 <= 0.1 from 50 steps on
    assert (result.baseline.steps, result.promoted.steps) == (40, 50)
    assert result.speedup == pytest.approx(2.0 * 40 / 50, rel=0.01)


def test_a_promoted_side_that_misses_the_target_loses_the_race():
    result = race(contender(shift=1.0))
    assert (result.speedup, result.void) == (None, False)
    assert "promoted did not reach 0.1" in str(result.reason)


def test_a_kernel_that_never_launched_makes_the_race_void():
    result = race(contender(launches=0))
    assert result.void and result.reason == "never launched: attention"


def test_a_race_without_kernels_is_void():
    assert race(contender(launches=None)).reason == "the promoted side has no kernel"


def test_too_few_pairs_make_the_race_void():
    result = race(contender(), Plan("tiny", 0.1, 10, 10, 60))
    assert result.void and result.low is None


def test_without_a_target_both_sides_run_all_steps():
    result = race(contender(), Plan("tiny", None, 7, 10, 30))
    assert (result.baseline.steps, result.promoted.steps) == (30, 30)
    assert result.speedup == pytest.approx(2.0, rel=0.01)


def test_the_order_of_chunks_is_random_and_repeatable():
    orders: list[list[str]] = [[], []]
    run_race(contender(), contender(), PLAN, lambda progress: orders[0].append(progress.side))
    run_race(contender(), contender(), PLAN, lambda progress: orders[1].append(progress.side))
    assert orders[0] == orders[1]
    assert {orders[0][i] for i in (0, 2, 4, 6, 8)} == {"baseline", "promoted"}


def test_the_result_has_the_documented_keys():
    documented = "config target_bpb baseline promoted speedup low high equality max_loss_gap bpb_gap band fallbacks "
    documented += "launches curves void reason"
    result = race(contender()).as_json()
    assert list(result) == documented.split()
    documented = "seconds steps tokens tokens_per_second val_bpb peak_bytes"
    assert list(result["baseline"]) == documented.split() and result["baseline"]["peak_bytes"] == 3 << 20
    assert result["fallbacks"] == {"attention": {"x has another dtype": 2}}


@pytest.mark.parametrize(
    ("how", "at", "message"),
    [
        ("crash", "step", "promoted worker ended with status 7 during step; it last wrote:\nout of cheese"),
        ("hang", "evaluate", "promoted worker gave no answer to evaluate within 1 s"),
        ("garbage", "report", "promoted worker answered b'Segmentation fault\\?' to report, which is not JSON"),
        ("refuse", "init", "promoted worker refused init: 'no such config'"),
    ],
)
def test_a_broken_worker_is_named_and_nothing_is_left_running(how: str, at: str, message: str):
    plan = Plan("tiny", 0.1, 5, 10, 60, timeout_s=1)
    with pytest.raises(Infrastructure, match=message):
        race(contender(fail={"at": at, "how": how}), plan)
    assert children() == []


def test_a_worker_that_cannot_be_started_is_named():
    with pytest.raises(Infrastructure, match="promoted worker cannot be started"):
        race(Contender(("/nonexistent/worker",), {}))
    assert children() == []


def test_sides_on_different_data_do_not_race():
    with pytest.raises(Infrastructure, match="different data"):
        race(Contender(WORKER, {**contender().init, "corpus": "a"}))


def test_interrupting_returns_what_there_is_and_leaves_nothing_running():
    def interrupt(progress: Progress) -> None:
        if progress.steps == 15:
            raise KeyboardInterrupt

    result = run_race(contender(), contender(), PLAN, interrupt)
    assert (result.void, result.reason, children()) == (True, "interrupted", [])
    assert len(result.curves["baseline"]["loss"]) >= 10


def test_a_worker_that_ignores_exit_is_ended():
    race(contender(fail={"at": "exit", "how": "hang"}))
    assert children() == []
