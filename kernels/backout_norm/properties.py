"""Relations that any honest norm behind a difference satisfies. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
ENTRY = "backout_norm"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = ({"N": 5, "C": 37}, {"N": 33, "C": 64}, {"N": 3, "C": 515})
PER_ROW = ("normed", "dx", "dx_back")
STREAMS = ("x", "x_back")


def opposite_inputs_give_opposite_outputs(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | _scaled(inputs, STREAMS, -1), _scaled(gradients, ("dnormed",), -1))
        for name in PER_ROW:
            _same(-before[name], after[name], f"{name} of opposite inputs", sizes)


def rows_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        for name in STREAMS:
            others[name][row] = inputs[name][row]
        other_gradients["dnormed"][row] = gradients["dnormed"][row]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, others, other_gradients)
        for name in PER_ROW:
            _same(before[name][row], after[name][row], f"{name} of row {row} when others change", sizes)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs, _scaled(gradients, ("dnormed",), 4))
        for name in ("dx", "dx_back", "dbackout"):
            _same(4 * before[name], after[name], f"{name} for output gradients x 4", sizes)


def the_scale_of_a_row_cancels(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Beside rows of length 1e4 the epsilon is 1e-15: nothing. One rounding of slack for its way into the sum."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs |= _scaled(inputs, STREAMS, 2.0**14)
        before = run(ENTRY, sizes, {}, inputs)["normed"].double()
        after = run(ENTRY, sizes, {}, inputs | _scaled(inputs, STREAMS, 2.0**6))["normed"].double()
        unit = 2.0**-21 if dtype == "float32" else 2.0**-7
        assert ((before - after).abs() <= unit * before.abs()).all(), f"depends on the scale of its row, sizes={sizes}"


def every_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """One large channel of either stream shrinks all others of its row: no tail or tile edge is left out."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        columns = rng.permutation([c for c in (0, 15, 16, 31, 32, 63, sizes["C"] - 1) if c < sizes["C"]])[: sizes["N"]]
        rows, columns = torch.arange(len(columns)), torch.from_numpy(columns)
        before = run(ENTRY, sizes, {}, inputs)["normed"].double().abs()
        for name in STREAMS:
            changed = inputs[name].clone()
            changed[rows, columns] = 1e5
            shrunk = run(ENTRY, sizes, {}, inputs | {name: changed})["normed"].double().abs() <= 0.1 * before
            shrunk[rows, columns] = True
            assert shrunk[rows].all(), f"ignores a channel of {name} among {columns.tolist()}, sizes={sizes}"


def a_stream_less_itself_is_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        nothing = inputs | {"x_back": inputs["x"].clone(), "backout": torch.tensor(1.0)}
        assert (run(ENTRY, sizes, {}, nothing)["normed"] == 0).all(), f"x - 1 x is not 0, sizes={sizes}"


def without_backout_the_early_stream_is_free(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        inputs["backout"] = torch.tensor(0.0)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | {"x_back": inputs["x"].flip(0).contiguous()}, gradients)
        for name in ("normed", "dx"):
            _same(before[name], after[name], f"{name} for backout = 0 and another x_back", sizes)
        assert (before["dx_back"] == 0).all(), f"dx_back for backout = 0, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    opposite_inputs_give_opposite_outputs,
    rows_are_independent,
    gradients_are_linear_in_powers_of_two,
    the_scale_of_a_row_cancels,
    every_channel_counts,
    a_stream_less_itself_is_nothing,
    without_backout_the_early_stream_is_free,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal() -> Tensor:
        return torch.from_numpy(rng.standard_normal((sizes["N"], sizes["C"]))).to(DTYPES[dtype])

    return {"x": normal(), "x_back": normal(), "backout": torch.tensor(0.3)}, {"dnormed": normal()}


def _scaled(tensors: Tensors, names: tuple[str, ...], factor: float) -> Tensors:
    return {name: factor * tensors[name] for name in names}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
