"""What an idea is worth to a step."""

import json

import pytest

from kernelsearch.errors import CorruptState
from kernelsearch.ideas import Entry
from kernelsearch.ideas.gain import Shares, by_gain, expected_gain, read_shares
from kernelsearch.spec import Idea, parse_effect

SHARES = Shares("tiny", "float32", "a CPU", "cpu", 2, "2026-01-01", 100.0, {"attention": 40.0, "relu2": 10.0})


def idea(predicts: str, target: str = "attention", **fields: str) -> Idea:
    return Idea("a text of some length", target, parse_effect(predicts), **fields)


@pytest.mark.parametrize(
    ("predicts", "against", "best", "gain"),
    [
        ("2x", "best", 1.0, 0.2),  # 40% of the step, halved
        ("2x", "best", 2.0, 0.1),  # the kernel left 20% of the step, halved
        ("2x", "baseline", 1.0, 0.2),
        ("4x", "baseline", 2.0, 0.1),  # from a half to a quarter of 40%
        ("2x", "baseline", 3.0, 0.0),  # the kernel is faster than the idea promises
        ("-5ms", "best", 1.0, 0.05),
        ("-90ms", "best", 2.0, 0.2),  # no more than what the target still takes
    ],
)
def test_the_gain_is_the_share_of_the_step_that_goes_away(predicts, against, best, gain):
    assert expected_gain(idea(predicts, against=against), SHARES, best) == pytest.approx(gain)


def test_there_is_no_gain_to_tell_for_another_device_or_dtype_or_an_unmeasured_target():
    assert expected_gain(idea("2x", device="cuda"), SHARES) is None
    assert expected_gain(idea("2x", dtype="bfloat16"), SHARES) is None
    assert expected_gain(idea("2x", target="mix_norm"), SHARES) is None


def test_a_small_gain_on_a_large_share_comes_before_a_large_gain_on_a_small_one():
    entries = [Entry(idea("3x", "relu2"), 0), Entry(idea("1.5x"), 1)]
    assert [e.number for e in by_gain(SHARES, {})(entries)] == [1, 0]


def test_an_unknown_gain_comes_before_none():
    entries = [Entry(idea("2x", against="baseline"), 0), Entry(idea("2x", "mix_norm"), 1)]
    assert [e.number for e in by_gain(SHARES, {"attention": 3.0})(entries)] == [1, 0]


def test_the_newest_shares_are_read(tmp_path):
    same = {"dtype": "float32", "device": "a CPU", "device_kind": "cpu", "threads": 2, "step_us": 100_000.0}
    targets = {"attention": {"us": 40_000.0, "share": 0.4}, "relu2": {"us": 10_000.0, "share": 0.1}}
    for config, date in (("d4", "2025-01-01"), ("tiny", "2026-01-01")):
        document = {**same, "config": config, "date": date, "targets": targets}
        (tmp_path / f"shares-{config}.json").write_text(json.dumps(document))
    assert read_shares(tmp_path) == SHARES


def test_shares_that_were_not_measured_are_none_and_damaged_ones_an_error(tmp_path):
    assert read_shares(tmp_path) is None
    (tmp_path / "shares-tiny.json").write_text("{}")
    with pytest.raises(CorruptState, match="delete it"):
        read_shares(tmp_path)
