"""Values for a problem's inputs: as it draws them itself, benign, adversarial; parameters and buffers always anew.

Integers are always as the problem draws them: they may be indices, and only the problem knows which are valid.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from kernelsearch.spec.target import Entry, Sizes

REGIMES = ("drawn", "normal", "positive", "small", "large", "offset", "spike", "constant", "zero_rows", "integers")
GRADIENT_REGIMES = ("normal", "rows", "ones", "zeros", "huge")


def draw_values(
    entry: Entry, arguments: Mapping[str, Tensor], states: Mapping[str, Tensor], regime: str, rng: np.random.Generator
) -> dict[str, ndarray]:
    """By input name, from one instance of the problem: its arguments in the regime, its states disturbed."""
    values: dict[str, ndarray] = {}
    for spec in entry.inputs:
        if spec.name in states:
            values[spec.name] = _disturbed(states[spec.name].double().numpy(), rng)
        elif regime == "drawn" or not arguments[spec.name].is_floating_point():
            values[spec.name] = _as_array(arguments[spec.name])
        else:
            values[spec.name] = _DRAW[regime](tuple(arguments[spec.name].shape), rng)
    return values


def draw_gradients(entry: Entry, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    """Output gradients of one kind; "rows" differ in size from row to row of the last axis."""
    return {t.name: _GRADIENT[regime](t.shape(sizes), rng) for t in entry.output_gradients()}


def _as_array(x: Tensor) -> ndarray:
    array: ndarray = x.detach().to(torch.float64 if x.is_floating_point() else torch.int64).numpy()
    return array


def _disturbed(x: ndarray, rng: np.random.Generator) -> ndarray:
    """Random where the constructor drew at random; a constant is spread, keeping its sign; a table stays as it is."""
    if x.size == 0 or not np.isfinite(x).all():
        return x
    first = x.reshape(-1)[0]
    if (x != first).any() or (x.size == 1 and first != np.round(first)):
        return x
    return 0.2 * rng.standard_normal(x.shape) if first == 0 else first * rng.uniform(0.5, 1.5, x.shape)


def _spiked(shape: tuple[int, ...], rng: np.random.Generator) -> ndarray:
    """One dominant element in every row of the last axis."""
    x = rng.standard_normal(shape)
    if x.ndim and x.size:
        rows = x.reshape(-1, shape[-1])
        places = [j for j in (0, 15, 16, 31, 32, 63, 64, shape[-1] - 1) if j < shape[-1]]
        rows[np.arange(len(rows)), rng.choice(places, len(rows))] = 100.0
    return x


def _zero_rows(shape: tuple[int, ...], rng: np.random.Generator) -> ndarray:
    keep = rng.random((*shape[:-1], 1)) < 0.6 if shape else np.array(1.0)
    zeroed: ndarray = rng.standard_normal(shape) * keep
    return zeroed


_DRAW: dict[str, Callable[[tuple[int, ...], np.random.Generator], ndarray]] = {
    "normal": lambda shape, rng: rng.standard_normal(shape),
    "positive": lambda shape, rng: rng.uniform(0.05, 0.95, shape),
    "small": lambda shape, rng: 1e-3 * rng.standard_normal(shape),
    "large": lambda shape, rng: 30.0 * rng.standard_normal(shape),
    "offset": lambda shape, rng: rng.standard_normal(shape) + 10.0,
    "spike": _spiked,
    "constant": lambda shape, rng: np.full(shape, 0.6),
    "zero_rows": _zero_rows,
    "integers": lambda shape, rng: rng.integers(-8, 9, shape).astype(float),
}
_GRADIENT: dict[str, Callable[[tuple[int, ...], np.random.Generator], ndarray]] = {
    "normal": lambda shape, rng: rng.standard_normal(shape),
    "rows": lambda shape, rng: rng.standard_normal(shape) * 2.0 ** rng.integers(-12, 6, (*shape[:-1], 1)[: len(shape)]),
    "ones": lambda shape, rng: np.ones(shape),
    "zeros": lambda shape, rng: np.zeros(shape),
    "huge": lambda shape, rng: 1e4 * rng.standard_normal(shape),
}
