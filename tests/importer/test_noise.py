"""Magnitudes by Monte Carlo arithmetic under the rule: other orders live, lower precision and lost terms die."""

import numpy as np
import pytest
import torch

from kernelsearch.importer.noise import longest_sum, spread
from kernelsearch.importer.values import REGIMES
from kernelsearch.spec import Workload
from kernelsearch.verify.case import make_case
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import find_answers
from tests.importer.stand_ins import STAND_INS, bfloat16, half, tf32


def differences(folder, stand_in, workload: Workload, regime: str, seed: int = 0) -> str | None:
    case = make_case(folder, workload, regime, np.random.default_rng(seed))
    return find_difference(stand_in(case.inputs), find_answers(folder, case)["out"])


def largest_edge(folder) -> Workload:
    return folder.edges("float32")[-1]


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", STAND_INS)
def test_another_order_of_evaluation_is_no_difference(imported, name, regime):
    folder = imported(name)
    assert differences(folder, STAND_INS[name], largest_edge(folder), regime) is None


@pytest.mark.parametrize("name", STAND_INS)
def test_another_order_is_no_difference_at_the_problems_own_shape(imported, name):
    folder = imported(name)
    assert differences(folder, STAND_INS[name], folder.workloads(None, "float32")[0], "drawn") is None


@pytest.mark.parametrize("low", [tf32, half, bfloat16], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", STAND_INS)
def test_operands_of_lower_precision_are_a_difference(imported, name, low):
    folder = imported(name)
    assert differences(folder, lambda v: STAND_INS[name](v, low), largest_edge(folder), "normal") is not None


@pytest.mark.parametrize("name", STAND_INS)
def test_a_dropped_term_is_a_difference(imported, name):
    folder = imported(name)
    assert differences(folder, lambda v: STAND_INS[name](v, drop=1), largest_edge(folder), "normal") is not None


def test_the_magnitude_of_a_matmul_is_near_that_of_its_absolute_values():
    a, b = torch.randn(40, 300, dtype=torch.float64), torch.randn(300, 30, dtype=torch.float64)
    (found,) = spread(lambda: [a @ b], [a @ b], is_thorough=True)
    ratio = (found.square().mean() / (a.abs() @ b.abs()).square().mean()).sqrt()
    assert 0.9 < ratio < 1.1


def test_cancellation_inside_a_fused_operation_shows():
    x = torch.full((400,), -4.0, dtype=torch.float64)
    (found,) = spread(lambda: [torch.nn.functional.gelu(x)], [torch.nn.functional.gelu(x)], is_thorough=True)
    assert found.mean() > 1000 * torch.nn.functional.gelu(x).abs().mean()


def test_the_longest_sum_of_a_convolution_is_its_window():
    conv, x = torch.nn.Conv2d(3, 8, 5), torch.rand(2, 3, 9, 9)
    assert longest_sum(lambda: conv(x)) == 75
