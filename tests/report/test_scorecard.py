"""The scorecard as tables, from a document made up here."""

import pytest
from rich.console import Console

from kernelsearch.report.scorecard import render_scorecard, summary_rows, write_scorecard

SCORE = {
    "mutants": {"total": 1000, "accepted": 0, "upper95": 0.003, "refused_by": {"smoke": 900, "ladder": 100}},
    "honest": {"total": 100, "accepted": 99},
    "flakes": {"count": 0, "verdicts": 400},
}
CARD = {
    **SCORE,
    "exploits": {"total": 90, "stopped": 90, "as_named": 89},
    "rules": {"allclose-1e-2": {"mutants_accepted": 300, "mutants": 1000, "honest_accepted": 100, "honest": 100}},
    "seconds": {"rejected_median": 1.25, "accepted_median": 9.0, "by_gate": {"smoke": 10.0, "ladder": 20.0}},
    "clock": [
        {"gain": 0, "is_busy": False, "decisions": 200, "called_faster": 0},
        {"gain": 3, "is_busy": False, "decisions": 200, "called_faster": 197},
    ],
    "targets": {"attention": SCORE},
}


@pytest.mark.parametrize(
    ("what", "result"),
    [
        ("exploits stopped", "90 of 90, 89 by the gate they name"),
        ("wrong kernels accepted", "0 of 1000 (95%: below 0.30%)"),
        ("identical kernels called faster", "0 of 200"),
        ("gain of 3% seen", "197 of 200"),
        ("seconds to refuse, median", "1.2"),
        ("seconds to prove, median", "9.0"),
    ],
)
def test_every_rate_has_its_line(what, result):
    assert (what, result) in summary_rows(CARD)


def test_rival_rules_stand_below_ours():
    lines = "\n".join(write_scorecard(CARD))
    assert lines.index("this judge | 0 of 1000") < lines.index("allclose-1e-2 | 300 of 1000 (30.0%)")


def test_parts_that_were_not_measured_are_not_shown():
    assert summary_rows({"clock": CARD["clock"][:1]}) == [("identical kernels called faster", "0 of 200")]


def test_the_terminal_shows_every_target():
    console = Console(width=120, record=True, file=open("/dev/null", "w"))
    console.print(render_scorecard(CARD))
    assert "attention" in console.export_text()
