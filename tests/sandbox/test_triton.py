"""Triton without a GPU: equal files pass and are never accepted, wrong ones end in the verdict they earn."""

from dataclasses import replace

import pytest

from kernelsearch.build.resources import admitted_stack_bytes, check_fit, check_spills, occupancy
from kernelsearch.build.triton_ahead import compile_ahead
from kernelsearch.errors import BuildError, EnvironmentMissing
from kernelsearch.sandbox import languages
from kernelsearch.sandbox.languages import language_of
from kernelsearch.spec import Resources, Verdict, read_candidate, verdict_from_json
from tests.sandbox.triton_candidates import RIGHT, TOO_LARGE, UNCOMPILABLE, WRONG


@pytest.fixture
def triton():
    pytest.importorskip("triton")
    return lambda text: read_candidate("row_sum", "triton", text, "test")


SPILLING = Resources("f", 90, 255, 96, 0, 8, 0.125)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_honest_file_passes_and_is_not_accepted(judge, folder, triton, dtype):
    verdict = replace(judge, dtype=dtype, workloads=folder.workloads("tiny", dtype)).judge(triton(RIGHT))
    assert verdict.passed, verdict
    assert (verdict.accepted, verdict.detail, verdict.measurements) == (False, "interpreted, not timed", ())
    assert {r.kernel for r in verdict.resources} == {"sums", "spread"}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_ends_in_the_verdict_it_earns(judge, triton, name):
    source, statuses = WRONG[name]
    verdict = replace(judge, without=frozenset({"compile ahead"})).prove(triton(source))
    assert verdict.status in statuses, verdict


@pytest.mark.slow
@pytest.mark.parametrize(("source", "said"), [(UNCOMPILABLE, "power of 2"), (TOO_LARGE, "shared memory")])
def test_what_no_gpu_could_run_is_refused_before_it_runs(judge, triton, source, said):
    verdict = judge.prove(triton(source))
    assert verdict.status == "BUILD" and said in (verdict.counterexample or ""), verdict
    assert verdict.gates[-1].name == "compile ahead"


@pytest.mark.slow
def test_other_architectures_are_told_beside_the_deciding_one(folder, triton, cache_dir):
    work = folder.workloads("tiny", "float32")
    found = compile_ahead(folder.target, triton(RIGHT), work, (90, 80, 100), cache_dir)
    assert {r.architecture for r in found} == {90, 80, 100}
    assert all(0 < r.occupancy <= 1 and r.registers > 0 and r.stack_bytes == 0 for r in found)


def test_spills_beyond_what_the_file_admits_are_refused():
    with pytest.raises(BuildError, match="96 bytes of stack"):
        check_spills("SPILL_BYTES = 64\n", (SPILLING,))
    check_spills("SPILL_BYTES = 96\n", (SPILLING,))
    assert admitted_stack_bytes("X = 1\n") == 0


def test_a_block_that_does_not_fit_is_refused():
    with pytest.raises(BuildError, match="232448"):
        check_fit("f", 90, 32, 232449, 4)
    with pytest.raises(BuildError, match="16 warps with 255 registers"):
        check_fit("f", 90, 255, 0, 16)
    check_fit("f", 90, 255, 232448, 8)


@pytest.mark.parametrize(
    ("registers", "shared", "warps", "share"),
    [(32, 0, 4, 1.0), (255, 0, 8, 0.125), (64, 100 << 10, 4, 0.125), (128, 0, 4, 0.25)],
)
def test_occupancy_follows_from_the_scarcest_resource(registers, shared, warps, share):
    assert occupancy(90, registers, shared, warps) == share


def test_without_triton_the_verdict_names_the_extra(folder, monkeypatch, cache_dir):
    def absent(*_: object) -> str:
        raise EnvironmentMissing("triton is not installed: pip install 'kernelsearch[triton]'")

    monkeypatch.setattr(languages.triton, "triton_version", absent)
    candidate = read_candidate("row_sum", "triton", RIGHT, "test")
    with pytest.raises(EnvironmentMissing, match=r"kernelsearch\[triton\]"):
        language_of(candidate).ahead(folder.target, candidate, folder.workloads("tiny", "float32"), (90,), cache_dir)


def test_a_verdict_keeps_what_its_kernels_take():
    verdict = Verdict("t", "d", "triton", "float32", "PASSED", "", 1.0, resources=(SPILLING,))
    assert verdict_from_json(verdict.as_json()).resources == (SPILLING,)
