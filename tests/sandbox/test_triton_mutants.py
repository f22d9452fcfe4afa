"""Wrong kernels made of every Triton seed die in the interpreter; those that may live are named, with the reason."""

from collections import defaultdict
from dataclasses import replace

import pytest

from kernelsearch.digest import digest
from kernelsearch.scorecard.mutate import Base, Mutant, mutants_of
from kernelsearch.spec import read_candidate
from kernelsearch.spec.library import find_target, library_path, target_names

EACH = 3  # mutants of a seed
# What no interpreter shows: products are exact there, tensors small enough for 32 bits.
UNSEEN = {"product in tf32", "dtype narrowed"}
# By what a mutant changed, why it computes the same.
EQUIVALENT = {
    "adamw_step: mean = tl.load(m + at, mask=inside, other=-3e+38).to(tl.float32)": "stored under the same mask",
    "relu2_mlp: h = tl.load(positive + at, mask=inside, other=1.0).to(tl.float32)": "stored under the same mask",
    "linear_softcap_cross_entropy: here = tl.max(is_target.to(tl.int32), axis=1) > 0": "zeros and ones",
    "softcap_cross_entropy: x = tl.load(logits + row * V + at, mask=at < V, other=1.0).to(tl.float32)": (
        "what lies beyond the row is left out of the sum by the next lines"
    ),
}


def change_of(mutant: Mutant) -> str:
    return f"{mutant.base.target}: {mutant.after}"


def lot(mutant: Mutant) -> str:
    """A number drawn once for each change, whatever else is in the file."""
    return digest([change_of(mutant), mutant.before, mutant.operator])


def sample(base: Base) -> list[Mutant]:
    """One mutant an operator, and of the operators a few, by lot."""
    groups: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants_of(base, "float32"):
        groups[mutant.operator].append(mutant)
    firsts = [min(group, key=lot) for name, group in groups.items() if name not in UNSEEN]
    return sorted(firsts, key=lot)[:EACH]


SAMPLE = [
    mutant
    for target in target_names(library_path())
    for name, source in find_target(target, library_path()).seeds("triton").items()
    for mutant in sample(Base(target, name, source, "triton"))
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda m: f"{m.base.target} {m.operator} line {m.line} {lot(m)[:6]}")
def test_a_mutant_of_a_triton_seed_is_refused_in_the_interpreter(judge, mutant):
    pytest.importorskip("triton")
    folder = find_target(mutant.base.target, library_path())
    workloads = folder.workloads(folder.workloads(None, "float32")[0].group, "float32")
    proving = replace(judge, folder=folder, workloads=workloads, without=frozenset({"compile ahead"}))
    verdict = proving.prove(read_candidate(folder.target.name, "triton", mutant.source, "mutant"))
    assert verdict.status not in ("LINT", "BUILD", "CONTRACT", "INFRASTRUCTURE"), verdict.detail
    assert verdict.passed == (change_of(mutant) in EQUIVALENT), f"{mutant.before} -> {mutant.after}: {verdict}"
