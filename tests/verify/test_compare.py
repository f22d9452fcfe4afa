"""The rule on sums of products: honest orders live, lower precision and small mistakes die."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelsearch.verify.compare import Answer, find_difference

N, K = 64, 257


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(N, K, generator=generator), torch.randn(K, N, generator=generator)
    return a, b, a.double() @ b.double(), a.double().abs() @ b.double().abs()


def answer(exact: torch.Tensor, condition: torch.Tensor, terms: int, **more) -> Answer:
    return Answer(exact, condition, torch.float32, terms, accumulator=2.0**-24, storage=2.0**-24, **more)


def difference(y: torch.Tensor, seed: int = 0) -> str | None:
    _, _, oracle, magnitude = data(seed)
    return find_difference(y, answer(oracle, magnitude, K))


def serial(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(N, N)
    for k in range(K):
        total += a[:, k, None] * b[None, k]
    return total


def tf32(x: torch.Tensor) -> torch.Tensor:
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize("seed", range(5))
def test_another_order_of_summation_is_no_difference(seed):
    a, b, *_ = data(seed)
    assert difference(serial(a, b), seed) is None
    assert difference((a.flip(1) @ b.flip(0)), seed) is None


@pytest.mark.parametrize("lower", [tf32, lambda x: x.bfloat16().float(), lambda x: x.half().float()])
def test_inputs_of_lower_precision_are_a_difference(lower):
    a, b, *_ = data()
    assert difference(lower(a) @ lower(b)) is not None


def test_an_accumulator_of_lower_precision_is_a_difference():
    a, b, *_ = data()
    halves = sum((a[:, k, None] * b[None, k]).half() for k in range(K))
    assert difference(halves.float()) is not None


@given(st.integers(0, N * N - 1), st.sampled_from([float("nan"), float("inf"), -float("inf")]))
@settings(max_examples=20, deadline=None)
def test_one_nan_or_infinity_anywhere_is_a_difference(place, value):
    a, b, *_ = data()
    y = a @ b
    y.view(-1)[place] = value
    assert difference(y) is not None


@given(st.integers(0, N * N - 1))
@settings(max_examples=20, deadline=None)
def test_one_element_that_misses_one_product_is_a_difference(place):
    a, b, *_ = data()
    y = a @ b
    row, column = divmod(place, N)
    y[row, column] -= a[row, 0] * b[0, column] + 0.01
    assert difference(y) is not None


def test_another_dtype_or_shape_is_a_difference():
    a, b, *_ = data()
    assert "float64" in difference((a @ b).double())
    assert difference((a @ b)[:1]) is not None


def test_a_nan_that_the_exact_result_has_is_none():
    a, b, oracle, magnitude = data()
    y = a @ b
    for tensor in (y, oracle):
        tensor[0, 0] = float("nan")
    assert find_difference(y, answer(oracle, magnitude, K)) is None


def test_repeating_terms_may_round_all_the_same_way():
    ones = torch.full((1, 4096), 0.1)
    serial_sum = torch.zeros(1)
    for k in range(4096):
        serial_sum = serial_sum + ones[:, k]
    exact = ones.double().sum(1)
    assert find_difference(serial_sum, answer(exact, exact, 4096)) is not None
    assert find_difference(serial_sum, answer(exact, exact, 4096, is_repeating=True)) is None


def test_a_number_that_is_stored_many_times_may_be_off_by_its_whole_unit():
    """1/255 lies half a unit in the last place from either bfloat16 neighbour; each row scales it by another factor."""
    factors = torch.rand(4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    exact = factors / 255
    stored = (factors * torch.tensor(1 / 255, dtype=torch.bfloat16).double()).bfloat16()
    repeating = Answer(exact, exact, torch.bfloat16, 4, 2.0**-24, storage=2.0**-8, stored=exact, is_repeating=True)
    assert find_difference(stored, repeating) is None
    assert find_difference(stored, replace(repeating, is_repeating=False)) is not None


@pytest.mark.parametrize("stored", ["a row, then scaled", "what scales a row"])
def test_rows_may_lean_where_something_is_stored(stored):
    draw = torch.Generator().manual_seed(0)
    values = torch.empty(400, 512, dtype=torch.float64).log_normal_(generator=draw)
    scale = torch.empty(400, 1, dtype=torch.float64).uniform_(1, 2, generator=draw)
    right = values * scale
    rounded_twice = values.bfloat16() * scale if stored == "a row, then scaled" else values * scale.bfloat16()
    cut_off = right.float().view(torch.int32).bitwise_and(-65536).view(torch.float32)

    def leans(y: torch.Tensor, rows: int) -> bool:
        policy = {"storage": 2.0**-8, "stored": right[:rows], "is_benign": True, "has_leaning_rows": True}
        answer = Answer(right[:rows], right[:rows], torch.bfloat16, 4, 2.0**-24, **policy)
        return find_difference(y[:rows].bfloat16(), answer) is not None

    assert not any(leans(rounded_twice, rows) for rows in (1, 2, 3, 5, 10, 30, 100, 400))
    assert leans(cut_off, 400)


def test_a_result_rounded_twice_is_a_difference_unless_the_policy_stores_it_on_the_way():
    exact = torch.rand(4096, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5
    once = Answer(exact, exact, torch.bfloat16, 4, accumulator=2.0**-24, storage=2.0**-8)
    twice = ((exact * 3).bfloat16().double() / 3).bfloat16()
    assert find_difference(exact.bfloat16(), once) is None
    assert find_difference(twice, once) is not None
    assert find_difference(twice, replace(once, stored=exact)) is None


def test_integers_are_right_only_if_all_are():
    exact = torch.arange(N)
    right = Answer(exact, torch.zeros(N), torch.int64, terms=0, accumulator=2.0**-24, storage=2.0**-24)
    wrong = exact.clone()
    wrong[N // 2] += 1
    assert find_difference(exact.clone(), right) is None
    assert find_difference(wrong, right) is not None
