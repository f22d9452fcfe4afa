"""Values for the feed-forward layer: benign, adversarial and as in mid-training, all finite."""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]

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
    "dead",
    "cancelling",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")
SHAPES = {"input": "NC", "fc": "FC", "proj": "CF"}


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    made = {name: _values(_shape(sizes, axes), regime, rng) for name, axes in SHAPES.items()}
    if regime == "dead":  # every feature of half of the rows is negative
        made["fc"] = np.abs(made["fc"])
        made["input"] = np.abs(made["input"]) * np.where(np.arange(sizes["N"]) % 2, 1.0, -1.0)[:, None]
    if regime == "cancelling":  # features that are next to nothing beside their terms
        half = sizes["C"] // 2
        made["input"][:, half : 2 * half] = made["input"][:, :half]
        made["fc"][:, half : 2 * half] = -made["fc"][:, :half] * (1 + 1e-3 * rng.standard_normal((sizes["F"], half)))
    if regime == "trained":
        width = np.sqrt(sizes["C"])
        made["fc"], made["proj"] = made["fc"] / width, made["proj"] / (2 * width)
    return made


def _shape(sizes: Sizes, axes: str) -> tuple[int, ...]:
    return tuple(sizes[axis] for axis in axes)


def _values(shape: tuple[int, ...], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "small": lambda: 1e-3 * x,
        "large": lambda: 1e3 * x,
        "offset": lambda: x + 5.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-10, 5, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 0.75),
        "zero_rows": lambda: x * (rng.random((shape[0], 1)) < 0.6),
        "ties": lambda: rng.choice([-1.0, 0.0, 1.0], shape),
        "integers": lambda: rng.integers(-3, 4, shape).astype(float),
    }
    return values[regime]() if regime in values else x


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant element a row, at the start, the end or a likely tile edge."""
    rows, columns = x.shape
    places = [j for j in (0, 11, 12, 15, 16, 31, 32, 63, 64, columns - 1) if j < columns]
    x[np.arange(rows), rng.choice(places, rows)] = 1e2
    return x


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = _shape(sizes, "NC")
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (shape[0], 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"dprojected": gradients[regime]}
