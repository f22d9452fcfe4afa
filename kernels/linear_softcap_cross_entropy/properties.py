"""Relations that any honest head with soft-capped cross-entropy satisfies. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Sizes = dict[str, int]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ENTRY = "linear_softcap_cross_entropy"
CAP = 15.0
SHAPES: tuple[tuple[Sizes, int], ...] = (
    ({"N": 5, "C": 19, "V": 67}, 61),
    ({"N": 33, "C": 32, "V": 128}, 128),
    ({"N": 4, "C": 8, "V": 1031}, 1030),
)


def ignored_rows_cost_exactly_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, vocab_size in SHAPES:
        inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
        inputs["targets"][::2] = -1
        before = _run(run, sizes, vocab_size, inputs, {"dloss": 1e6 * gradients["dloss"]})
        assert (before["loss"][::2] == 0).all(), f"loss of an ignored row, sizes={sizes}"
        assert (before["dx"][::2] == 0).all(), f"gradient of an ignored row, sizes={sizes}"
        inputs["x"][::2] = 2 * inputs["x"][::2]
        after = _run(run, sizes, vocab_size, inputs, {"dloss": 1e6 * gradients["dloss"]})
        _same(before["dweight"], after["dweight"], "dweight when ignored rows change", sizes)


def padding_is_never_looked_at(run: Run, dtype: str, rng: np.random.Generator) -> None:
    sizes, vocab_size = {"N": 6, "C": 19, "V": 67}, 40
    inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
    before = _run(run, sizes, vocab_size, inputs, gradients)
    inputs["weight"][vocab_size:] = 100.0
    after = _run(run, sizes, vocab_size, inputs, gradients)
    assert (after["dweight"][vocab_size:] == 0).all(), f"gradient of a padding row, sizes={sizes}"
    for name in before:
        _same(before[name], after[name], f"{name} when padding changes", sizes)


def rows_are_independent_but_for_the_weight(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, vocab_size in SHAPES:
        inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
        others, other_gradients = _draw(sizes, vocab_size, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        before = _run(run, sizes, vocab_size, inputs, gradients)
        others["weight"] = inputs["weight"]
        for name in ("x", "targets"):
            others[name][row] = inputs[name][row]
        other_gradients["dloss"][row] = gradients["dloss"][row]
        after = _run(run, sizes, vocab_size, others, other_gradients)
        for name in ("loss", "dx"):
            _same(before[name][row], after[name][row], f"{name} of row {row} when others change", sizes)


def every_row_of_the_weight_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Raising any one logit raises the loss: no tail or tile edge is left out."""
    for sizes, vocab_size in SHAPES:
        inputs, _ = _draw(sizes, vocab_size, dtype, rng)
        inputs["x"][:, 0], inputs["weight"] = 4.0, 0.1 * inputs["weight"]
        for column in (0, 15, 16, 31, 32, 47, 63, vocab_size - 1):
            column = min(column, vocab_size - 1)
            inputs["targets"][:] = (column + 1) % vocab_size
            before = _run(run, sizes, vocab_size, inputs)["loss"]
            raised = inputs["weight"].clone()
            raised[column, 0] += 3.0
            after = _run(run, sizes, vocab_size, inputs | {"weight": raised})["loss"]
            assert (after > before + 0.01).all(), f"row {column} of the weight is ignored, sizes={sizes}"


def every_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, vocab_size in SHAPES:
        inputs, _ = _draw(sizes, vocab_size, dtype, rng)
        before = _run(run, sizes, vocab_size, inputs)["loss"]
        for channel in sorted({0, 7, 15, 16, sizes["C"] - 1} & set(range(sizes["C"]))):
            moved = inputs["x"].clone()
            moved[:, channel] += 2.0
            after = _run(run, sizes, vocab_size, inputs | {"x": moved})["loss"]
            assert (after != before).any(), f"channel {channel} is ignored, sizes={sizes}"


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, vocab_size in SHAPES:
        inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
        before = _run(run, sizes, vocab_size, inputs, gradients)
        after = _run(run, sizes, vocab_size, inputs, {"dloss": 8 * gradients["dloss"]})
        for name in ("dx", "dweight"):
            _same(8 * before[name], after[name], f"{name} for dloss x 8", sizes)


def each_row_has_its_own_upstream_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Gradients of the weight where all rows but one have none are that one row's, whatever its gradient is."""
    for sizes, vocab_size in SHAPES:
        inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
        before = _run(run, sizes, vocab_size, inputs, gradients)
        row = int(rng.integers(sizes["N"]))
        only = torch.zeros_like(gradients["dloss"])
        only[row] = gradients["dloss"][row]
        alone = _run(run, sizes, vocab_size, inputs, {"dloss": only})
        others = torch.arange(sizes["N"]) != row
        assert (alone["dx"][others] == 0).all(), f"gradient of a row whose upstream gradient is 0, sizes={sizes}"
        _same(before["dx"][row], alone["dx"][row], f"dx of row {row}", sizes)
        inputs["x"][others] = -inputs["x"][others]
        again = _run(run, sizes, vocab_size, inputs, {"dloss": only})
        _same(alone["dweight"], again["dweight"], f"dweight of row {row} alone when others change", sizes)


def nothing_changes_beyond_saturation(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """tanh(2^20 / 15) is 1 in float32 whatever its form, slope 0, so a larger logit is the same logit."""
    for sizes, vocab_size in SHAPES:
        inputs, gradients = _draw(sizes, vocab_size, dtype, rng)
        inputs["weight"] = torch.ones_like(inputs["weight"])
        inputs["weight"][::2] = -1.0
        inputs["x"] = torch.full_like(inputs["x"], 2.0**20)
        near = _run(run, sizes, vocab_size, inputs, gradients)
        beyond = _run(run, sizes, vocab_size, inputs | {"x": 2.0**40 * inputs["x"]}, gradients)
        for name in ("loss", "dx"):
            _same(near[name], beyond[name], f"{name} between logits of 2^20 and 2^60", sizes)


def equal_rows_of_the_weight_cost_the_logarithm_of_the_vocabulary(
    run: Run, dtype: str, rng: np.random.Generator
) -> None:
    for sizes, vocab_size in SHAPES:
        inputs, _ = _draw(sizes, vocab_size, dtype, rng)
        inputs["weight"] = inputs["weight"][:1].expand_as(inputs["weight"]).contiguous()
        loss = _run(run, sizes, vocab_size, inputs)["loss"].double()
        limit = 2 * CAP * (4 + vocab_size**0.5) * 2.0**-24
        exact = float(np.log(vocab_size))
        assert ((loss - exact).abs() <= limit).all(), f"loss of equal logits is not log vocab_size, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    ignored_rows_cost_exactly_nothing,
    padding_is_never_looked_at,
    rows_are_independent_but_for_the_weight,
    every_row_of_the_weight_counts,
    every_channel_counts,
    gradients_are_linear_in_powers_of_two,
    each_row_has_its_own_upstream_gradient,
    nothing_changes_beyond_saturation,
    equal_rows_of_the_weight_cost_the_logarithm_of_the_vocabulary,
)


def _draw(
    sizes: Sizes, vocab_size: int, dtype: str, rng: np.random.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    N, C, V = sizes["N"], sizes["C"], sizes["V"]
    x = torch.from_numpy(rng.standard_normal((N, C))).to(DTYPES[dtype])
    weight = torch.from_numpy(2 * rng.standard_normal((V, C)) / C**0.5).to(DTYPES[dtype])
    targets = torch.from_numpy(rng.integers(0, vocab_size, N))
    dloss = torch.from_numpy(rng.standard_normal(N)).float()
    return {"x": x, "weight": weight, "targets": targets}, {"dloss": dloss}


def _run(
    run: Run, sizes: Sizes, vocab_size: int, inputs: dict[str, Tensor], gradients: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    parameters = {"vocab_size": vocab_size}
    return (
        run(ENTRY, sizes, parameters, inputs) if gradients is None else run(ENTRY, sizes, parameters, inputs, gradients)
    )


def _same(a: Tensor, b: Tensor, what: str, sizes: Sizes) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
