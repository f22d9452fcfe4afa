from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelsearch.report import render_verdict
from kernelsearch.report.text import format_interval, shown
from tests.report.conftest import make_trial, show


def test_an_accepted_verdict_shows_its_proof():
    text = show(render_verdict(make_trial(8, 1.4).verdict))
    assert "PASSED, 1.450x [1.400, 1.500] against the baseline, accepted" in text
    assert "gates: build 1.0 s, ladder 2.5 s" in text


def test_a_measurement_shows_latencies_share_of_speed_of_light_and_noise():
    row = next(line for line in show(render_verdict(make_trial(8, 1.4).verdict)).splitlines() if "tiny/full" in line)
    assert " ".join(row.split()) == "tiny/full fwd+bwd 1.500x [1.400, 1.600] 20.0 30.0 25% 1.1% 4"


def test_a_rejected_verdict_names_the_gate_and_the_counterexample():
    text = show(render_verdict(make_trial(8, None).verdict))
    assert "MISMATCH at ladder" in text
    assert "B=1 T=3" in text


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/]", "[link=file:///]x[/link]", ":smile:"])
def test_markup_in_compiler_text_is_shown_as_it_is(text):
    assert text in show(render_verdict(replace(make_trial(8, None).verdict, detail=text)))


@given(text=st.text())
def test_no_control_character_of_a_candidate_reaches_the_terminal(text):
    assert all(character.isprintable() or character == "\n" for character in shown(text))


def test_an_escape_sequence_is_shown_as_text():
    verdict = replace(make_trial(8, None).verdict, counterexample="\x1b]0;title\x07")
    assert r"\x1b]0;title\x07" in show(render_verdict(verdict))


def test_a_missing_interval_is_a_dash():
    assert format_interval(None, None, None) == "-"
