"""Relations that any honest linear layer satisfies. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently. Axes as in target.py.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
Sizes = dict[str, int]
ENTRY = "linear"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES: tuple[Sizes, ...] = (
    {"N": 133, "C": 19, "O": 33},
    {"N": 160, "C": 33, "O": 129},
    {"N": 129, "C": 65, "O": 17},
)
EDGES = (0, 3, 4, 7, 8, 11, 12, 15, 16, 31, 32, 127, 128)  # of likely tiles


def rows_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        others["x"][row] = inputs["x"][row]
        other_gradients["dy"][row] = gradients["dy"][row]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | {"x": others["x"]}, other_gradients)
        for name in ("y", "dx"):
            _same(before[name][row], after[name][row], f"{name} of row {row} when others change", sizes)


def outputs_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        chosen = int(rng.integers(sizes["O"]))
        others["weight"][chosen] = inputs["weight"][chosen]
        other_gradients["dy"][:, chosen] = gradients["dy"][:, chosen]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | {"weight": others["weight"]}, other_gradients)
        _same(before["y"][:, chosen], after["y"][:, chosen], f"output {chosen} when others change", sizes)
        _same(before["dweight"][chosen], after["dweight"][chosen], f"dweight of output {chosen}", sizes)


def powers_of_two_pass_through(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        scaled = {"x": 2 * inputs["x"], "weight": inputs["weight"] / 4}
        after = run(ENTRY, sizes, {}, scaled, {"dy": 8 * gradients["dy"]})
        for name, factor in (("y", 0.5), ("dx", 2.0), ("dweight", 16.0)):
            _same(factor * before[name], after[name], f"{name} of scaled inputs", sizes)


def every_channel_counts_and_reaches_its_output(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Rows and weights with one number each: nothing is left out at a tile's edge, nothing stands elsewhere."""
    for sizes in SIZES:
        N = sizes["N"]
        inputs, gradients = _draw(sizes, dtype, rng)
        channels = _some(sizes["C"], N, rng)
        inputs["x"] = torch.zeros_like(inputs["x"])
        inputs["x"][torch.arange(N), channels] = 2.0
        got = run(ENTRY, sizes, {}, inputs, gradients)
        _same(got["y"], 2 * inputs["weight"].T[channels], "outputs of one channel", sizes)
        outputs = _some(sizes["O"], N, rng)
        only = torch.zeros_like(gradients["dy"])
        only[torch.arange(N), outputs] = 4.0
        got = run(ENTRY, sizes, {}, inputs, {"dy": only})
        _same(got["dx"], 4 * inputs["weight"][outputs], "dx of one output", sizes)


def weight_gradients_add_over_rows(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Rows without an upstream gradient add exactly nothing; a single row gives its own product."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, _ = _draw(sizes, dtype, rng)
        silent = torch.from_numpy(rng.random(sizes["N"]) < 0.5)
        gradients["dy"][silent] = 0
        before = run(ENTRY, sizes, {}, inputs, gradients)
        mixed = torch.where(silent[:, None], others["x"], inputs["x"])
        after = run(ENTRY, sizes, {}, inputs | {"x": mixed}, gradients)
        _same(before["dweight"], after["dweight"], "dweight when rows without a gradient change", sizes)
        assert (before["dx"][silent] == 0).all(), f"dx of a row without a gradient, sizes={sizes}"
        row = int(_some(sizes["N"], 1, rng))
        inputs["x"][row] = torch.round(4 * inputs["x"][row].float()).to(inputs["x"].dtype)
        alone = torch.zeros_like(gradients["dy"])
        alone[row] = 2.0
        got = run(ENTRY, sizes, {}, inputs, {"dy": alone})["dweight"]
        _same(got, (2 * inputs["x"][row]).expand_as(got), f"dweight of row {row} alone", sizes)


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    rows_are_independent,
    outputs_are_independent,
    powers_of_two_pass_through,
    every_channel_counts_and_reaches_its_output,
    weight_gradients_add_over_rows,
)


def _draw(sizes: Sizes, dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal(axes: str) -> Tensor:
        return torch.from_numpy(rng.standard_normal([sizes[axis] for axis in axes])).to(DTYPES[dtype])

    return {"x": normal("NC"), "weight": normal("OC")}, {"dy": normal("NO")}


def _some(extent: int, count: int, rng: np.random.Generator) -> Tensor:
    """So many places along an axis, most of them at a tile's edge."""
    return torch.from_numpy(rng.choice([place for place in (*EDGES, extent - 1) if place < extent], count))


def _same(a: Tensor, b: Tensor, what: str, sizes: Sizes) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
