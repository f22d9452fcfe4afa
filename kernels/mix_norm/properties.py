"""Relations that any honest RMS norm satisfies, with or without the mix. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = ({"N": 5, "C": 37}, {"N": 33, "C": 64}, {"N": 3, "C": 515})
PER_ROW = {"rms_norm": ("y", "dx"), "mix_norm": ("mixed", "normed", "dx", "dx0")}


def opposite_inputs_give_opposite_outputs(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for entry, sizes in _cases():
        inputs, gradients = _draw(entry, sizes, dtype, rng)
        before = run(entry, sizes, {}, inputs, gradients)
        after = run(entry, sizes, {}, inputs | _scaled(_streams(inputs), -1), _scaled(gradients, -1))
        for name in PER_ROW[entry]:
            _same(-before[name], after[name], f"{entry} {name} of opposite inputs", sizes)


def rows_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for entry, sizes in _cases():
        inputs, gradients = _draw(entry, sizes, dtype, rng)
        others, other_gradients = _draw(entry, sizes, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        for name, value in (_streams(inputs) | gradients).items():
            (others if name in others else other_gradients)[name][row] = value[row]
        others |= {name: inputs[name] for name in inputs if inputs[name].dim() == 0}
        before = run(entry, sizes, {}, inputs, gradients)
        after = run(entry, sizes, {}, others, other_gradients)
        for name in PER_ROW[entry]:
            _same(before[name][row], after[name][row], f"{entry} {name} of row {row} when others change", sizes)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for entry, sizes in _cases():
        inputs, gradients = _draw(entry, sizes, dtype, rng)
        before = run(entry, sizes, {}, inputs, gradients)
        after = run(entry, sizes, {}, inputs, _scaled(gradients, 4))
        for name in (n for n in before if n in ("dx", "dx0", "dresid", "dskip")):
            _same(4 * before[name], after[name], f"{entry} {name} for output gradients x 4", sizes)


def the_scale_of_a_row_cancels(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Beside rows of length 1e4 the epsilon is 1e-15: nothing. One rounding of slack, as 1e4 is not a power of two."""
    for entry, sizes in _cases():
        inputs, _ = _draw(entry, sizes, dtype, rng)
        inputs |= _scaled(_streams(inputs), 2.0**14)
        before = run(entry, sizes, {}, inputs)
        after = run(entry, sizes, {}, inputs | _scaled(_streams(inputs), 2.0**6))
        name = "y" if entry == "rms_norm" else "normed"
        unit = 2.0**-21 if dtype == "float32" else 2.0**-7
        near = (before[name].double() - after[name].double()).abs() <= unit * before[name].double().abs()
        assert near.all(), f"{entry} {name} depends on the scale of its row, sizes={sizes}"


def every_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """One large channel, whichever it is, shrinks all others of its row: no tail or tile edge is left out."""
    for entry, sizes in _cases():
        inputs, _ = _draw(entry, sizes, dtype, rng)
        columns = rng.permutation([c for c in (0, 15, 16, 31, 32, 63, sizes["C"] - 1) if c < sizes["C"]])[: sizes["N"]]
        rows, columns = torch.arange(len(columns)), torch.from_numpy(columns)
        name = "y" if entry == "rms_norm" else "normed"
        before = run(entry, sizes, {}, inputs)[name].double().abs()
        inputs["x"][rows, columns] = 1e4
        after = run(entry, sizes, {}, inputs)[name].double().abs()
        shrunk = after <= 0.1 * before
        shrunk[rows, columns] = True
        assert shrunk[rows].all(), f"{entry} {name} ignores a channel among {columns.tolist()}, sizes={sizes}"


def normalised_rows_have_unit_mean_square(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for entry, sizes in _cases():
        inputs, _ = _draw(entry, sizes, dtype, rng)
        got = run(entry, sizes, {}, inputs)["y" if entry == "rms_norm" else "normed"].double()
        limit = 2.0**-18 + (4 + sizes["C"] ** 0.5) * 2.0**-23 if dtype == "float32" else 2.0**-6
        assert ((got.square().mean(1) - 1).abs() <= limit).all(), f"{entry}: mean square is not 1, sizes={sizes}"


def zero_rows_stay_zero(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for entry, sizes in _cases():
        inputs, gradients = _draw(entry, sizes, dtype, rng)
        for value in _streams(inputs).values():
            value[::2] = 0
        got = run(entry, sizes, {}, inputs, gradients)
        for name in ("y", "mixed", "normed"):
            assert name not in got or (got[name][::2] == 0).all(), f"{entry} {name} of a zero row, sizes={sizes}"


def gradients_leave_the_length_of_a_row_alone(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """sum x dx = 0 up to the epsilon, because y does not change when x is scaled."""
    for sizes in SIZES:
        inputs, gradients = _draw("rms_norm", sizes, dtype, rng)
        dx = run("rms_norm", sizes, {}, inputs, gradients)["dx"].double()
        products = inputs["x"].double() * dx
        unit = (8 + sizes["C"] ** 0.5) * 2.0**-23 + 2.0**-20 if dtype == "float32" else 2.0**-7
        assert (products.sum(1).abs() <= unit * products.abs().sum(1)).all(), f"dx has a part along x, sizes={sizes}"


def without_skip_the_mix_is_the_norm(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw("mix_norm", sizes, dtype, rng)
        inputs["resid"], inputs["skip"] = torch.tensor(1.0), torch.tensor(0.0)
        got = run("mix_norm", sizes, {}, inputs, gradients)
        _same(got["mixed"], inputs["x"], "mixed for resid = 1 and skip = 0", sizes)
        assert (got["dx0"] == 0).all(), f"dx0 for skip = 0, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    opposite_inputs_give_opposite_outputs,
    rows_are_independent,
    gradients_are_linear_in_powers_of_two,
    the_scale_of_a_row_cancels,
    every_channel_counts,
    normalised_rows_have_unit_mean_square,
    zero_rows_stay_zero,
    gradients_leave_the_length_of_a_row_alone,
    without_skip_the_mix_is_the_norm,
)


def _cases() -> list[tuple[str, dict[str, int]]]:
    return [(entry, sizes) for entry in PER_ROW for sizes in SIZES]


def _draw(entry: str, sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal() -> Tensor:
        return torch.from_numpy(rng.standard_normal((sizes["N"], sizes["C"]))).to(DTYPES[dtype])

    if entry == "rms_norm":
        return {"x": normal()}, {"dy": normal()}
    scalars = {"resid": torch.tensor(0.9), "skip": torch.tensor(0.2)}
    return {"x": normal(), "x0": normal()} | scalars, {"dmixed": normal(), "dnormed": normal()}


def _streams(inputs: Tensors) -> Tensors:
    return {name: value for name, value in inputs.items() if value.dim() == 2}


def _scaled(tensors: Tensors, factor: float) -> Tensors:
    return {name: factor * value for name, value in tensors.items()}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
