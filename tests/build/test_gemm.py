"""gemm.h: what a candidate gets from the shared matrix product, at tile edges, in both dtypes and element orders."""

from functools import cache
from itertools import product

import pytest
import torch

from kernelsearch.build import cpp
from kernelsearch.build.abi import functions
from kernelsearch.build.lint import lint_artifact
from kernelsearch.dispatch.native import load_function
from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec, read_candidate

SOURCE = """
#include <kernelsearch/gemm.h>

extern "C" void multiply_forward(const scalar_t* a, const scalar_t* b, float* c, int64_t M, int64_t K, int64_t N,
                                 int64_t a_is_turned, int64_t b_is_turned, int64_t is_nested, int64_t is_upper) {
    const auto in_a = a_is_turned ? ks::matrix(a, K, M).transposed() : ks::matrix(a, M, K);
    const auto in_b = b_is_turned ? ks::matrix(b, N, K).transposed() : ks::matrix(b, K, N);
    const auto compute = [&] {
        ks::multiply(
            in_a, in_b,
            [=](int64_t i, int64_t j, ks::Vec sums, int64_t count) { ks::write(c + i * N + j, 2.0f * sums, count); },
            is_upper ? ks::Part::UPPER : ks::Part::ALL);
        if (is_upper) ks::mirror(c, N, N);
    };
    if (is_nested) {
#pragma omp parallel for
        for (int once = 0; once < 1; once++) compute();
    } else {
        compute();
    }
}
"""
FLAGS = ("a_is_turned", "b_is_turned", "is_nested", "is_upper")
ENTRY = Entry(
    name="multiply",
    axes=(Axis("M"), Axis("K"), Axis("N")),
    inputs=(TensorSpec("a", ("M", "K")), TensorSpec("b", ("K", "N"))),
    outputs=(TensorSpec("c", ("M", "N"), "float32"),),
    parameters=tuple(Parameter(flag, "int64") for flag in FLAGS),
    forward_flops=lambda sizes, parameters: 2.0 * sizes["M"] * sizes["K"] * sizes["N"],
)
TARGET = Target("multiply", "a product", (ENTRY,), accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24})
# Around the tile (12 x 32, 6 x 16), the vector, a cut of A's blocks, and an A that is packed block by block.
SHAPES = ((1, 1, 1), (1, 64, 3), (5, 7, 33), (12, 16, 32), (13, 17, 31), (25, 300, 16), (131, 129, 97), (1030, 520, 40))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    cache_dir = tmp_path_factory.mktemp("cache")
    return cache(lambda dtype: cpp.build(TARGET, read_candidate("multiply", "cpp", SOURCE, "test"), dtype, cache_dir))


@pytest.fixture
def multiply(artifact):
    def call(a, b, **flags):
        """A product of a (M, K) and b (K, N), handed over transposed in memory where a flag says so."""
        laid = [x.T.contiguous() if flags.get(f"{name}_is_turned") else x for name, x in (("a", a), ("b", b))]
        c = torch.full((a.shape[0], b.shape[1]), float("nan"))
        path = artifact({torch.float32: "float32", torch.bfloat16: "bfloat16"}[a.dtype]).path
        numbers = (*a.shape, b.shape[1], *(int(flags.get(name, False)) for name in FLAGS))
        load_function(path, functions(TARGET, SOURCE)[0])(*(x.data_ptr() for x in (*laid, c)), *numbers)
        return c

    return call


def draw(rows, columns, dtype=torch.float32, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(dtype)


def roundings(a, b):
    """As many as a serial sum makes, each half a unit of the sum of absolute terms."""
    return 2 * a.shape[1] * 2.0**-24 * (a.double().abs() @ b.double().abs())


def test_an_object_with_products_passes_the_lint(artifact):
    lint_artifact(artifact("float32").path, ["multiply_forward"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("turned", list(product([False, True], repeat=2)))
@pytest.mark.parametrize("shape", SHAPES)
def test_a_product_is_exact_up_to_the_roundings_of_its_sums(shape, turned, dtype, multiply):
    a, b = draw(shape[0], shape[1], dtype), draw(shape[1], shape[2], dtype, seed=1)
    c = multiply(a, b, a_is_turned=turned[0], b_is_turned=turned[1])
    assert ((c - 2 * a.double() @ b.double()).abs() <= roundings(a, b)).all()


@pytest.mark.parametrize("size", [1, 12, 15, 33, 150])
def test_a_symmetric_product_is_exactly_symmetric_and_has_the_bits_of_the_whole(size, multiply):
    a = draw(size, 70)
    half, whole = multiply(a, a.T.contiguous(), is_upper=True), multiply(a, a.T.contiguous())
    assert torch.equal(half, half.T)
    assert torch.equal(half.triu(), whole.triu())


def test_the_bits_are_the_same_inside_a_parallel_region(multiply):
    a, b = draw(1030, 520), draw(520, 97, seed=1)
    assert torch.equal(multiply(a, b, is_nested=True), multiply(a, b))


def test_a_row_has_the_same_bits_alone_and_among_others(multiply):
    a, b = draw(131, 129), draw(129, 97, seed=1)
    assert torch.equal(multiply(a[77:78].contiguous(), b), multiply(a, b)[77:78])
