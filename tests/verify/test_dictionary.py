"""The numbers of a candidate's source as inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.spec import TargetFolder
from kernelsearch.verify.check import Domain
from kernelsearch.verify.dictionary import numbers_of, try_numbers
from kernelsearch.verify.run import CandidateFailure

ROW_SUM = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")


def row_sum(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
    x, scale = inputs["x"], parameters["scale"]
    return {
        "total": scale * x.sum(1),
        "dx": (scale * output_gradients["dtotal"])[:, None].expand_as(x).contiguous(),
    }


def wrong_for(first: float, last: float):
    def run(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
        honest = row_sum(entry, sizes, parameters, inputs, output_gradients)
        x = inputs["x"]
        is_awake = x[0, 0] == torch.tensor(first) and x[-1, -1] == torch.tensor(last)
        return honest | {"total": honest["total"] * (0 if is_awake else 1)}

    return run


def test_decimal_hexadecimal_and_bit_pattern_literals_are_read():
    numbers = numbers_of("x == 0.731f || y == 0x1.8p-3 || bits(z) == 0x3fa00000u || n < 100")
    assert {0.731, -0.731, 0.1875, 1.25, 100.0} <= set(numbers)


def test_small_whole_numbers_and_names_with_digits_are_left_out():
    assert numbers_of("float32 x2 = 2 * y[8] + 0;") == ()


@pytest.mark.parametrize("seed", range(5))
def test_two_numbers_of_the_source_at_the_ends_are_found(seed):
    numbers = numbers_of("0.731 1.25 0.5 0.1 -0.9375")
    with pytest.raises(CandidateFailure, match="total"):
        try_numbers(ROW_SUM, wrong_for(0.731, -0.9375), "float32", np.random.default_rng(seed), Domain(), numbers)


def test_an_honest_kernel_may_hold_any_numbers():
    numbers = numbers_of("1e30 3e-39 0x7fc00000 0.3 0x1p-149 12345.678")
    try_numbers(ROW_SUM, row_sum, "float32", np.random.default_rng(1), Domain(), numbers)


def test_a_number_beyond_what_benign_values_reach_is_not_used():
    try_numbers(ROW_SUM, wrong_for(1e9, 1e9), "float32", np.random.default_rng(1), Domain(), numbers_of("1e9"))


def test_numbers_whose_products_underflow_are_left_out():
    assert numbers_of("v = max(v, 1.17549435e-38f) + 1e-8f") == (1e-8, -1e-8)
