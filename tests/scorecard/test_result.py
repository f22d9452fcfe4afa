"""Rows summed up: what counts as a wrong kernel, bounds, flakes and times."""

from dataclasses import replace

import pytest

from kernelsearch.scorecard import equivalents
from kernelsearch.scorecard.equivalents import Equivalent, reviewed_equivalents
from kernelsearch.scorecard.journal import Row
from kernelsearch.scorecard.result import pass_of, summarise, upper_bound

ROW = Row(
    key="0",
    kind="mutant",
    target="row_sum",
    dtype="float32",
    base="plain",
    tunables={},
    operator="relation swapped",
    function="row_sum_forward",
    line=3,
    before="n < N",
    after="n <= N",
    digest="0",
    split="development",
    attempt=0,
    outcome="refused",
    status="MISMATCH",
    detail="",
    counterexample=None,
    gate="smoke",
    seconds=1.0,
    gates={"build": 0.5, "smoke": 0.5},
    artifact="a",
    rules={"allclose-1e-2": True, "allclose-1e-4": False, "flash-2x": False},
)
HONEST = replace(ROW, kind="honest", digest="h", outcome="accepted", status="PASSED", gate=None, split="")


def mutants(*outcomes: str) -> list[Row]:
    return [replace(ROW, digest=str(i), artifact=str(i), outcome=o) for i, o in enumerate(outcomes)]


def test_what_does_not_build_or_equals_its_base_is_no_wrong_kernel():
    score = summarise(mutants("refused", "accepted", "unbuilt", "identical"), "h").overall
    assert (score.mutants.accepted, score.mutants.total) == (1, 2)
    assert (score.left_out.unbuilt, score.left_out.identical) == (1, 1)


def test_the_same_object_code_counts_once():
    twice = [ROW, replace(ROW, digest="1")]
    score = summarise(twice, "h").overall
    assert score.mutants.total == 1 and score.left_out.repeated == 1


def test_a_reviewed_equivalent_is_left_out(monkeypatch):
    listed = Equivalent("row_sum", "plain", "row_sum_forward", "n < N", "n <= N", "a planted reason")
    monkeypatch.setattr(equivalents, "reviewed_equivalents", lambda: (listed,))
    score = summarise([replace(ROW, outcome="accepted")], "h").overall
    assert score.mutants.total == 0 and score.left_out.reviewed == 1 and score.left_out.reviewed_but_refused == 0


def test_a_refused_equivalent_is_a_contradiction(monkeypatch):
    listed = Equivalent("row_sum", "plain", "row_sum_forward", "n < N", "n <= N", "a planted reason")
    monkeypatch.setattr(equivalents, "reviewed_equivalents", lambda: (listed,))
    assert summarise([ROW], "h").overall.left_out.reviewed_but_refused == 1


def test_every_listed_equivalent_has_a_reason_and_stands_once():
    entries = reviewed_equivalents()
    assert all(len(entry.reason) > 20 for entry in entries)
    assert len({replace(entry, reason="") for entry in entries}) == len(entries)


def test_survivors_and_refused_honest_kernels_are_named():
    result = summarise([*mutants("accepted"), replace(HONEST, outcome="refused")], "h")
    assert [row.digest for row in result.survivors] == ["0"]
    assert [row.digest for row in result.refused] == ["h"]


def test_a_kernel_accepted_once_and_refused_once_is_a_flake():
    again = replace(HONEST, attempt=1, outcome="refused")
    flakes = summarise([HONEST, again], "h").overall.flakes
    assert (flakes.count, flakes.verdicts) == (1, 2)


def test_other_reasons_for_the_same_refusal_are_no_flake():
    assert summarise([ROW, replace(ROW, attempt=1, status="PROPERTY")], "h").overall.flakes.count == 0


def test_repetitions_do_not_count_as_kernels():
    score = summarise([HONEST, replace(HONEST, attempt=1)], "h").overall
    assert score.honest.total == 1


def test_rules_are_scored_on_the_same_kernels():
    score = summarise([*mutants("refused", "refused"), HONEST], "h").overall
    assert (score.rules["allclose-1e-2"].mutants_accepted, score.rules["allclose-1e-2"].mutants) == (2, 2)
    assert (score.rules["flash-2x"].honest_accepted, score.rules["flash-2x"].honest) == (0, 1)


def test_no_event_in_a_thousand_bounds_the_rate_by_three_in_a_thousand():
    assert upper_bound(0, 1000) == pytest.approx(0.003)


def test_the_bound_for_some_events_is_clopper_and_pearsons():
    # One-sided 95%: the beta quantile, 4.74386 / n for one event and large n (Poisson).
    assert upper_bound(1, 10_000) == pytest.approx(4.74386e-4, rel=1e-3)


def test_a_change_belongs_to_the_pass_its_function_names():
    names = ("mix_norm_backward", "query_gradients", "attention_forward", "tile")
    assert [pass_of(name) for name in names] == ["backward", "backward", "forward", "shared"]


def test_without_trials_nothing_is_bounded():
    assert upper_bound(0, 0) == 1.0


def test_the_json_has_the_contracts_keys():
    value = summarise([ROW, HONEST], "h").as_json()
    assert {"mutants", "honest", "flakes", "seconds", "rules", "targets"} <= set(value)
    assert {"accepted", "total", "upper95"} <= set(value["mutants"])
    assert {"rejected_median", "accepted_median"} <= set(value["seconds"])
    assert set(value["targets"]) == {"row_sum"}
