"""Lengths of buffered documents: benign, adversarial and as a corpus has them."""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]

REGIMES: tuple[str, ...] = (
    "normal",
    "ties",
    "equal",
    "short",
    "long",
    "exact",
    "one_too_long",
    "rising",
    "falling",
    "huge",
    "trained",
)
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ()


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    D, capacity = sizes["D"], int(parameters["capacity"])
    uniform = rng.integers(1, 2 * capacity + 1, D)
    lengths = {
        "normal": lambda: uniform,
        "ties": lambda: rng.choice(rng.integers(1, 2 * capacity + 1, 4), D),
        "equal": lambda: np.full(D, rng.integers(1, 2 * capacity + 1)),
        "short": lambda: rng.integers(1, max(2, capacity // 16 + 1), D),
        "long": lambda: capacity + rng.integers(1, capacity + 1, D),
        "exact": lambda: np.maximum(1, capacity // rng.integers(1, 9, D)),
        "one_too_long": lambda: np.maximum(1, capacity // rng.integers(1, 9, D) + 1),
        "rising": lambda: np.sort(uniform),
        "falling": lambda: np.sort(uniform)[::-1].copy(),
        "huge": lambda: np.where(rng.random(D) < 0.5, uniform, rng.integers(2**24, 2**31 - 1, D)),
        "trained": lambda: _left_over(D, capacity, rng),
    }
    return {"lengths": lengths[regime]()}


def _left_over(D: int, capacity: int, rng: np.random.Generator) -> ndarray:
    """A corpus after many rows: mostly documents longer than a row, because the others are taken first."""
    lengths = np.exp(rng.normal(np.log(capacity), 1.2, D)).astype(np.int64) + 1
    is_waiting = rng.random(D) < 0.8
    return np.where(is_waiting & (lengths < capacity), lengths + capacity, lengths)


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    raise ValueError(f"entry={entry!r} gives integers, hence no output gradients")
