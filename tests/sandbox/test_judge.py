"""The judge on one small target: honest kernels pass, wrong and hostile ones end in the verdict they earn."""

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.build import cpp
from tests.sandbox.candidates import HONEST, REORDERED, SYSTEM_CALLS, WRONG, replaced, with_system_call


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("source", [HONEST, REORDERED], ids=["honest", "reordered"])
def test_honest_kernels_pass_every_gate(judge, candidate, source):
    verdict = judge.judge(candidate(source))
    assert verdict.passed, verdict
    assert all(gate.passed for gate in verdict.gates)


def test_a_passing_verdict_names_its_domain_and_its_measurements(judge, candidate):
    verdict = judge.judge(candidate(HONEST))
    assert verdict.domain["row_sum"]["N"][1] >= 512
    assert verdict.measurements[0].low <= verdict.measurements[0].speedup <= verdict.measurements[0].high


def test_screening_passes_without_a_claim_and_tells_its_gates(judge, candidate):
    told = []
    verdict = replace(judge, on_gate=told.append).screen(candidate(HONEST))
    assert (verdict.passed, verdict.accepted, verdict.measurements) == (True, False, ())
    assert "neither proven" in verdict.detail
    assert told == [gate.name for gate in verdict.gates]
    assert "ladder" in told
    assert "soak" not in told


def test_screening_refuses_with_a_counterexample(judge, candidate):
    source, statuses = WRONG["first element missing"]
    verdict = judge.screen(candidate(source))
    assert verdict.status in statuses
    assert verdict.counterexample


@pytest.mark.parametrize("name", WRONG)
def test_wrong_candidates_end_in_the_verdict_they_earn(judge, candidate, name):
    source, statuses = WRONG[name]
    verdict = judge.judge(candidate(source))
    assert verdict.status in statuses, verdict
    assert not verdict.accepted


@pytest.mark.skipif(platform.machine() != "x86_64", reason="system calls by x86-64 numbers")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_forbidden_system_calls_that_no_lint_saw_are_an_integrity_verdict(judge, candidate, name):
    unlinted = replace(judge, without=frozenset({"lint"}))
    verdict = unlinted.prove(candidate(with_system_call(SYSTEM_CALLS[name])))
    assert verdict.status == "INTEGRITY", verdict


def test_a_hang_is_a_timeout_verdict(judge, candidate, monkeypatch):
    monkeypatch.setattr("kernelsearch.sandbox.execution.CALL_TIMEOUT_S", 0.5)
    source = HONEST.replace("float sum = 0;", "float sum = 0; for (volatile int go = 1; go;) {}")
    assert judge.judge(candidate(source)).status == "TIMEOUT"


def test_a_mismatch_shows_the_smallest_failing_shape_and_no_seed(judge, candidate):
    source, _ = WRONG["first element missing"]
    verdict = judge.judge(candidate(source))
    assert verdict.counterexample.startswith("row_sum float32 N=1 D=1 ")
    assert "seed" not in verdict.counterexample


def test_no_process_and_no_shared_memory_outlives_a_verdict(judge, candidate):
    before = children(), len(os.listdir("/proc/self/fd"))
    for name in ("null pointer", "zeros", "writes after its output"):
        judge.judge(candidate(WRONG[name][0]))
    judge.judge(candidate(HONEST))
    judge.close()
    assert (children(), len(os.listdir("/proc/self/fd"))) == before


def test_a_rejected_candidate_is_not_timed(judge, candidate):
    verdict = judge.judge(candidate(WRONG["zeros"][0]))
    assert "timing" not in {gate.name for gate in verdict.gates}
    assert not verdict.measurements


def test_what_is_clearly_slower_than_what_is_to_be_beaten_is_not_proven(judge, candidate):
    verdict = judge.judge(candidate(HONEST), to_beat=1e9)
    assert (verdict.status, verdict.gates[-1].name, verdict.gates[-1].passed) == ("SLOWER", "first look", False)
    assert verdict.high < 1e9 and verdict.measurements and not verdict.accepted and not verdict.domain


def test_what_may_be_faster_than_what_is_to_be_beaten_is_proven_and_timed_in_full(judge, candidate):
    verdict = judge.judge(candidate(HONEST), to_beat=1e-9)
    assert verdict.passed and {"first look", "search", "timing"} <= {gate.name for gate in verdict.gates}


def test_a_wrong_candidate_is_wrong_and_not_slower(judge, candidate):
    assert judge.judge(candidate(WRONG["zeros"][0]), to_beat=1e9).status != "SLOWER"


def test_what_is_wrong_at_the_timed_shape_alone_is_a_mismatch_at_a_first_look(judge, candidate):
    """It comes before the gate on timed shapes: the candidate need not have known that it was timed."""
    source = replaced("total[n] = scale * sum", "total[n] = D > 200 ? 0 : scale * sum")
    verdict = judge.judge(candidate(source), to_beat=1e-9)
    assert (verdict.status, verdict.gates[-1].name) == ("MISMATCH", "first look")


def test_the_seed_in_the_folder_passes_in_both_dtypes(judge, folder, candidate):
    seed = candidate(folder.seeds("cpp")["plain"])
    assert judge.judge(seed).passed
    assert replace(judge, dtype="bfloat16", workloads=folder.workloads("tiny", "bfloat16")).judge(seed).passed


def test_what_comes_next_is_built_while_this_one_is_judged(judge, candidate, monkeypatch):
    coming = candidate(HONEST + "\n// another source\n")
    judge.prepare(coming)
    judge.judge(candidate(HONEST + "\n// not built before\n"))
    monkeypatch.setattr(cpp, "_compile", None)
    assert cpp.build(judge.folder.target, coming, judge.dtype, judge.cache_dir).path.is_file()
