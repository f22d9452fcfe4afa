import pytest

from kernelsearch.report import render_race
from kernelsearch.report.race import BAR_WIDTH, CURVE_ROWS, answer, draw_bar, judge_equality, sample_steps
from tests.report.conftest import show


def side(seconds: float) -> dict:
    return {"seconds": seconds, "steps": 30, "tokens": 15360, "tokens_per_second": 15360 / seconds, "val_bpb": 2.05}


def curve(step_seconds: float) -> dict:
    losses = [5.0 - step / 10 for step in range(30)]
    return {"loss": losses, "step_seconds": [step_seconds] * 30, "bpb": [[30, 30 * step_seconds, 2.05]]}


RESULT = {
    "config": "cpu-tiny",
    "target_bpb": 2.1,
    "baseline": side(60.0),
    "promoted": side(50.0),
    "speedup": 1.2,
    "low": 1.15,
    "high": 1.25,
    "equality": "within-noise",
    "max_loss_gap": 0.0004,
    "launches": {"attention": {"forward": 120, "backward": 120}},
    "fallbacks": {"attention": {"shape": 3}},
    "curves": {"baseline": curve(2.0), "promoted": curve(50 / 30)},
    "void": False,
    "reason": None,
}


def test_a_race_shows_seconds_tokens_kernels_and_the_answer():
    text = show(render_race(RESULT))
    assert "Race on cpu-tiny to 2.1 bits per byte" in text
    assert "attention  forward 120, backward 120  shape 3" in text
    assert "Promoted kernels got there sooner: 1.200x [1.150, 1.250]." in text


def test_the_curves_end_at_the_last_step_of_each_side():
    row = next(line for line in show(render_race(RESULT)).splitlines() if line.startswith("  30"))
    assert row.split() == ["30", "2.1000", "#", "60.0", "2.1000", "#", "50.0"]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"low": 0.98}, "Nothing was gained beyond doubt"),
        ({"speedup": 0.8, "low": 0.7, "high": 0.9}, "Nothing was gained: promoted kernels took longer"),
        ({"speedup": None, "reason": "promoted did not reach 2.1"}, "Nothing was gained: promoted did not reach 2.1"),
        ({"void": True, "speedup": None, "reason": "never launched: attention"}, "Void: never launched: attention"),
    ],
)
def test_a_race_that_gained_nothing_says_so_plainly(changes, start):
    assert answer({**RESULT, **changes}).startswith(start)


@pytest.mark.parametrize("equality", ["bitwise", "within-noise", "different"])
def test_equality_is_a_sentence(equality):
    assert judge_equality({**RESULT, "equality": equality}).startswith("Losses ")


def test_losses_that_differ_are_shown_beside_what_equal_runs_do():
    measured = {"equality": "different", "max_loss_gap": 0.02, "bpb_gap": 0.003}
    assert judge_equality({**RESULT, **measured, "band": {"max_loss_gap": 0.0079, "bpb_gap": 0.00066}}) == (
        "Losses differ: 0.02 at most, bits per byte at the end 0.003; equal runs differ by up to 0.0079 and 0.00066."
    )
    assert "no band is recorded" in judge_equality({**RESULT, **measured, "band": None})


def test_a_race_that_was_interrupted_at_once_is_shown():
    empty = {"loss": [], "step_seconds": [], "bpb": []}
    nothing = {"seconds": 0.0, "steps": 0, "tokens": 0, "tokens_per_second": None, "val_bpb": None}
    sides = {"baseline": nothing, "promoted": nothing, "curves": {"baseline": empty, "promoted": empty}}
    gone = {**RESULT, **sides, "launches": {}, "void": True, "reason": "interrupted", "max_loss_gap": None}
    assert "Void: interrupted" in show(render_race(gone))


def test_a_loss_that_was_not_finite_is_a_dash():
    broken = {**RESULT, "curves": {**RESULT["curves"], "promoted": {**curve(1.0), "loss": [None] * 30}}}
    assert " -  " in show(render_race(broken))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 1000])
def test_sampled_steps_are_few_distinct_and_end_at_the_last(count):
    steps = sample_steps(count)
    assert len(steps) == min(count, CURVE_ROWS)
    assert steps[-1:] == [count - 1][: len(steps)]


def test_bars_span_the_losses():
    assert (len(draw_bar(2.0, 2.0, 5.0)), len(draw_bar(5.0, 2.0, 5.0))) == (1, BAR_WIDTH)
