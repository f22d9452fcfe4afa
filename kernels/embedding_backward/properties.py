"""Relations that any honest look-up and any stable order satisfy. Bitwise where the arithmetic cannot differ."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LENGTHS = ((1, 1), (37, 11), (128, 4096), (1031, 300), (700, 70_000))
SIZES = ({"N": 5, "V": 7, "C": 37}, {"N": 300, "V": 33, "C": 64}, {"N": 64, "V": 1031, "C": 5})


def the_order_is_a_stable_sort(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for N, vocab_size in LENGTHS:
        tokens = torch.from_numpy(rng.integers(0, vocab_size, N))
        order = _order(run, tokens, vocab_size)
        assert torch.equal(order.sort().values, torch.arange(N)), f"the order is no permutation, N={N} V={vocab_size}"
        keys = tokens[order] * N + order
        assert bool((keys.diff() > 0).all()), f"tokens out of order, or equal ones turned round, N={N} V={vocab_size}"


def only_the_order_of_tokens_matters(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for N, vocab_size in LENGTHS:
        tokens = torch.from_numpy(rng.integers(0, vocab_size, N))
        names = torch.from_numpy(np.sort(rng.choice(3 * vocab_size, vocab_size, replace=False)))
        renamed = _order(run, names[tokens], 3 * vocab_size)
        _same(_order(run, tokens, vocab_size), renamed, "order of renamed tokens", {"N": N, "V": vocab_size})


def rows_are_those_of_the_table(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        rows = run("embedding", sizes, {}, inputs)["rows"]
        _same(rows, inputs["table"][inputs["tokens"]], "a row", sizes)


def rows_without_tokens_have_no_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        dtable = run("embedding", sizes, {}, inputs, {"drows": 1e6 * gradients["drows"]})["dtable"]
        is_absent = torch.bincount(inputs["tokens"], minlength=sizes["V"]) == 0
        assert bool((dtable[is_absent] == 0).all()), f"a row without tokens has a gradient, sizes={sizes}"


def a_token_that_occurs_once_keeps_its_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        dtable = run("embedding", sizes, {}, inputs, gradients)["dtable"]
        is_single = torch.bincount(inputs["tokens"], minlength=sizes["V"])[inputs["tokens"]] == 1
        tokens = inputs["tokens"][is_single]
        _same(dtable[tokens], gradients["drows"][is_single], "gradient of a token that occurs once", sizes)


def small_integers_add_exactly(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Sums stay below 2^24, and in bfloat16 are rounded once."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        drows = torch.from_numpy(rng.integers(-8, 9, (sizes["N"], sizes["C"])))
        exact = torch.zeros(sizes["V"], sizes["C"], dtype=torch.int64).index_add_(0, inputs["tokens"], drows)
        dtable = run("embedding", sizes, {}, inputs, {"drows": drows.to(DTYPES[dtype])})["dtable"]
        _same(dtable, exact.float().to(DTYPES[dtype]), "sum of integers", sizes)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("embedding", sizes, {}, inputs, gradients)["dtable"]
        after = run("embedding", sizes, {}, inputs, {"drows": 8 * gradients["drows"]})["dtable"]
        _same(8 * before, after, "dtable for drows x 8", sizes)


def the_table_does_not_reach_its_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("embedding", sizes, {}, inputs, gradients)["dtable"]
        after = run("embedding", sizes, {}, inputs | {"table": _draw(sizes, dtype, rng)[0]["table"]}, gradients)
        _same(before, after["dtable"], "dtable of another table", sizes)


def channels_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        kept = torch.from_numpy(rng.random(sizes["C"]) < 0.3)
        others = torch.where(kept, gradients["drows"], _draw(sizes, dtype, rng)[1]["drows"])
        before = run("embedding", sizes, {}, inputs, gradients)["dtable"]
        after = run("embedding", sizes, {}, inputs, {"drows": others})["dtable"]
        _same(before[:, kept], after[:, kept], "dtable when other channels change", sizes)


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    the_order_is_a_stable_sort,
    only_the_order_of_tokens_matters,
    rows_are_those_of_the_table,
    rows_without_tokens_have_no_gradient,
    a_token_that_occurs_once_keeps_its_gradient,
    small_integers_add_exactly,
    gradients_are_linear_in_powers_of_two,
    the_table_does_not_reach_its_gradient,
    channels_are_independent,
)


def _order(run: Run, tokens: Tensor, vocab_size: int) -> Tensor:
    return run("token_order", {"N": len(tokens)}, {"vocab_size": vocab_size}, {"tokens": tokens})["order"]


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    N, V, C = sizes["N"], sizes["V"], sizes["C"]
    table, drows = (torch.from_numpy(rng.standard_normal(shape)).to(DTYPES[dtype]) for shape in ((V, C), (N, C)))
    tokens = torch.from_numpy(rng.integers(0, V, N))
    return {"table": table, "tokens": tokens, "order": tokens.argsort(stable=True)}, {"drows": drows}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
