"""Arbitrary Python before the judge: honest files pass and are never accepted; what reaches out ends in its verdict."""

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.errors import EnvironmentMissing
from kernelsearch.sandbox.languages import language_of
from kernelsearch.spec import read_candidate
from tests.build.test_host import TRITON
from tests.sandbox.python_candidates import HONEST, HOSTILE, OWN_BACKWARD, PATCHED, SAVED, WRONG


@pytest.fixture
def python():
    return lambda text: read_candidate("row_sum", "python", text, "test")


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [OWN_BACKWARD, SAVED, PATCHED], ids=["own backward", "saved tensors", "patched clocks"]
)
def test_honest_python_is_equal(judge, python, source):
    verdict = judge.prove(python(source))
    assert verdict.passed, verdict


def test_honest_python_passes_in_bfloat16(judge, folder, python):
    narrow = replace(judge, dtype="bfloat16", workloads=folder.workloads("tiny", "bfloat16"))
    verdict = narrow.prove(python(OWN_BACKWARD))
    assert verdict.passed, verdict


def test_a_python_candidate_is_timed_and_never_accepted(judge, python):
    verdict = judge.judge(python(HONEST))
    assert verdict.passed, verdict
    assert verdict.measurements and not verdict.accepted
    assert "never promoted" in verdict.detail


@pytest.mark.parametrize("name", WRONG)
def test_wrong_python_ends_in_the_verdict_it_earns(judge, python, name):
    source, statuses = WRONG[name]
    verdict = judge.prove(python(source))
    assert verdict.status in statuses, verdict


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs Linux namespaces")
@pytest.mark.parametrize(
    "name", [name if name == "forks" else pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE]
)
def test_python_that_reaches_out_ends_in_the_verdict_it_earns(judge, python, name):
    source, statuses = HOSTILE[name]
    verdict = judge.prove(python(source))
    assert verdict.status in statuses, verdict


def test_patched_clocks_and_comparisons_help_nobody(judge, python):
    assert judge.prove(python(PATCHED.replace("scale * x", "0 * x"))).status == "MISMATCH"


def test_an_exception_shows_its_last_line(judge, python):
    verdict = judge.prove(python(WRONG["an exception"][0]))
    assert "ValueError: not today" in verdict.detail


def test_a_missing_function_is_named_with_its_arguments(judge, python):
    verdict = judge.prove(python(WRONG["a missing function"][0]))
    assert "row_sum_forward(x, scale)" in verdict.detail


def test_no_process_and_no_descriptor_outlives_python(judge, python):
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text(), len(os.listdir("/proc/self/fd"))
    judge.prove(python(HOSTILE["forks"][0]))
    judge.prove(python(WRONG["leaves in the call"][0]))
    assert (children.read_text(), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize("language", ["triton", "cuda"])
def test_gpu_files_are_linted_before_what_is_missing_is_said(judge, language):
    verdict = judge.prove(read_candidate("row_sum", language, "import os\n", "test"))
    assert verdict.status == "LINT" and "line 1" in verdict.detail


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="Triton is installed")
def test_a_triton_file_that_passes_the_lint_names_the_missing_extra(judge):
    text = TRITON.replace("f_forward", "row_sum_forward").replace("f_backward", "row_sum_backward")
    text = text.replace("(x, y, dy, scale)", "(x, total, dtotal, scale)").replace("](dy,", "](dtotal,")
    with pytest.raises(EnvironmentMissing, match=r"kernelsearch\[triton\]"):
        judge.prove(read_candidate("row_sum", "triton", text, "test"))


def test_the_artifact_of_a_python_candidate_is_data(folder, python, tmp_path):
    candidate = python(SAVED)
    document = json.loads(language_of(candidate).artifact(folder.target, candidate, "bfloat16", tmp_path))
    backward = document["functions"]["ks_call_row_sum_backward"]
    assert document["tunables"] == {"UNUSED": 3}
    assert backward["passed"] == ["x", "total", "rows", "dtotal"] and backward["results"] == ["dx"]
