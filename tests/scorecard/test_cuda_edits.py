"""Mutants of CUDA candidates: what only blocks and warps can get wrong, and C++'s operators on the same text."""

import pytest

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.errors import ContractError
from kernelsearch.scorecard.cuda_edits import CHANGES, find_cuda_edits
from kernelsearch.scorecard.edits import apply_edit
from kernelsearch.scorecard.mutate import Base, choose_mutants
from kernelsearch.spec.library import find_target, library_path

SOURCE = '''"""A docstring with \u00e9."""
import torch

TEXT = r"""
__device__ __forceinline__ float half_of(float a) { return a / 2.0f; }  // threadIdx.x
extern "C" __global__ void __launch_bounds__(64)
row(const float* __restrict__ x, float* __restrict__ y, int* seen, int n) {
    __shared__ float part[64];
    const bool aligned = is_aligned(x);
    part[threadIdx.x] = x[blockIdx.x * n + threadIdx.x];
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += half_of(part[i]);
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    atomicAdd(seen, 1);
    y[blockIdx.x] = sum;
}
"""


def f_forward(x):
    launch(TEXT, "row", (1,), (64,), (x, x, x, 64))
    return x
'''
EXPECTED = {
    "barrier dropped": "((void)0);",
    "mask halved": "__shfl_xor_sync(0x0000ffffu, sum, 1)",
    "thread off by one": "part[(threadIdx.x + 1)] =",
    "thread fixed": "x[blockIdx.x * n + 0]",
    "block fixed": "y[0] = sum",
    "block off by one": "y[(blockIdx.x + 1)] = sum",
    "alignment taken for granted": "aligned = true;",
    "atomic made plain": "(*(seen) = 1);",
    "relation swapped": "i <= n;",
    "loop ends early": "i < (n) - 1;",
    "sum in bfloat16": "sum = __uint_as_float(((__float_as_uint(sum + (half_of(part[i]))) + 32768u) & 4294901760u));",
}


@pytest.mark.parametrize("operator", EXPECTED)
def test_an_operator_makes_the_change_its_name_says(operator):
    changed = [apply_edit(SOURCE, edit) for edit in find_cuda_edits(SOURCE) if edit.operator == operator]
    assert any(EXPECTED[operator] in text for text in changed), changed
    assert CHANGES.keys() <= EXPECTED.keys()


def test_only_code_in_kernels_is_changed():
    before, after = SOURCE.index("__device__"), SOURCE.index('"""\n\n\ndef')
    for text in (apply_edit(SOURCE, edit) for edit in find_cuda_edits(SOURCE)):
        assert text.startswith(SOURCE[:before]) and text.endswith(SOURCE[after:])
        assert "// threadIdx.x\n" in text


def test_an_edit_knows_its_function():
    assert {edit.function for edit in find_cuda_edits(SOURCE)} == {"half_of", "row"}


def test_mutants_of_a_seed_pass_the_lint_but_for_a_few():
    folder = find_target("relu2", library_path())
    ((name, source),) = folder.seeds("cuda").items()
    mutants = choose_mutants([Base("relu2", name, source, "cuda")], 25)
    entries = host_functions(folder.target, source)
    refused = 0
    for mutant in mutants:
        try:
            lint_host(mutant.source, "cuda", entries)
        except ContractError:
            refused += 1
    assert len(mutants) == 50 and refused <= 5
