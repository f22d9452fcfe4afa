"""Values for rotary positions and qk-norm: benign, adversarial and as in mid-training, all finite.

Angles are those of consecutive positions, begun anywhere below 10 000, unless the regime says otherwise.
"""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]
BASE = 100_000.0

REGIMES: tuple[str, ...] = (
    "normal",
    "small",
    "large",
    "offset",
    "wide",
    "spike",
    "constant",
    "zero_rows",
    "ties",
    "integers",
    "cancelling",
    "stretched",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    cos, sin = _tables(sizes, regime, rng)
    made = {name: _values(_shape(sizes, axes), regime, rng) for name, axes in (("q", "BTHD"), ("k", "BTKD"))}
    if regime == "cancelling":
        made = {name: _cancelled(x, cos, sin, rng) for name, x in made.items()}
    return made | {"cos": cos, "sin": sin}


def _shape(sizes: Sizes, axes: str) -> tuple[int, ...]:
    return tuple(sizes[axis] for axis in axes)


def _tables(sizes: Sizes, regime: str, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    shape = _shape(sizes, "UTUF")
    start = 0 if regime == "trained" else int(rng.integers(10_000))
    frequency = BASE ** (-np.arange(sizes["F"]) / sizes["F"])
    angle = np.outer(start + np.arange(sizes["T"]), frequency).reshape(shape)
    if regime == "constant":
        angle = np.zeros(shape)
    if regime == "ties":
        quarter = rng.integers(0, 4, shape)
        return np.array([1.0, 0.0, -1.0, 0.0])[quarter], np.array([0.0, 1.0, 0.0, -1.0])[quarter]
    if regime == "stretched":  # no rotation at all
        return rng.uniform(-2, 2, shape), rng.uniform(-2, 2, shape)
    return np.cos(angle), np.sin(angle)


def _values(shape: tuple[int, ...], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "small": lambda: 1e-4 * x,
        "large": lambda: 1e4 * x,
        "offset": lambda: x + 50.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 1.25),
        "zero_rows": lambda: x * (rng.random((*shape[:-1], 1)) < 0.6),
        "ties": lambda: rng.choice([-1.0, 0.0, 1.0], shape),
        "integers": lambda: rng.integers(-8, 9, shape).astype(float),
        "trained": lambda: x * np.exp(0.5 * rng.standard_normal(shape[-1])),
    }
    return values[regime]() if regime in values else x


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant channel a head, at the start, the end, the middle or a likely vector's edge."""
    D = x.shape[-1]
    places = [j for j in (0, 7, 8, 15, 16, 31, 32, D // 2 - 1, D // 2, D - 1) if j < D]
    np.put_along_axis(x, rng.choice(places, (*x.shape[:-1], 1)), 1e3, axis=-1)
    return x


def _cancelled(x: ndarray, cos: ndarray, sin: ndarray, rng: np.random.Generator) -> ndarray:
    """Heads whose left half is next to nothing once it is turned."""
    length = x[..., : x.shape[-1] // 2]
    left, right = sin * length, -cos * length
    return np.concatenate([left, right * (1 + 1e-3 * rng.standard_normal(right.shape))], axis=-1)


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shapes = {"dq_out": _shape(sizes, "BTHD"), "dk_out": _shape(sizes, "BTKD")}
    return {name: _gradient(shape, regime, rng) for name, shape in shapes.items()}


def _gradient(shape: tuple[int, ...], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (*shape[:-1], 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return gradients[regime]
