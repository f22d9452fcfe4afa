"""Wrong kernels made of the CUDA seeds die in the emulation, for want of a barrier as for a wrong block."""

from dataclasses import replace

import pytest

from kernelsearch.build import cuda_ahead
from kernelsearch.scorecard.mutate import Base, mutants_of
from kernelsearch.spec import read_candidate
from kernelsearch.spec.library import find_target, library_path

# Changes that are never harmless; others may leave a kernel right, such as a single thread's work done by all of them.
WRONG = {"barrier dropped", "mask halved", "block fixed", "block off by one", "alignment taken for granted"}
SAMPLE = [
    mutant
    for target, name in (("softcap_cross_entropy", "block_rows"), ("mix_norm", "warp_rows"))
    for mutant in mutants_of(
        Base(target, name, find_target(target, library_path()).seeds("cuda")[name], "cuda"), "float32"
    )
    if mutant.operator in WRONG
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda m: f"{m.base.target} {m.operator} line {m.line} {m.digest[:6]}")
def test_a_mutant_of_a_cuda_seed_is_refused(judge, monkeypatch, mutant):
    monkeypatch.setattr(cuda_ahead, "cuda_compiler", lambda: None)
    folder = find_target(mutant.base.target, library_path())
    seeds = replace(judge, folder=folder, workloads=folder.workloads("tiny", "float32"))
    verdict = seeds.prove(read_candidate(folder.target.name, "cuda", mutant.source, "mutant"))
    assert not verdict.passed and verdict.status not in ("LINT", "BUILD", "CONTRACT", "INFRASTRUCTURE"), verdict
