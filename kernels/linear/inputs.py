"""Values for a linear layer: benign, adversarial and as in mid-training, all finite."""

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
    "cancelling",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")
EDGES = (0, 3, 4, 11, 12, 15, 16, 31, 32, 63, 64, 95, 96, 127, 128)  # of likely tiles


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    x, weight = (_values((sizes[axis], sizes["C"]), regime, rng) for axis in "NO")
    if regime == "cancelling":  # sums that are next to nothing beside their terms
        half = sizes["C"] // 2
        x[:, half : 2 * half] = x[:, :half]
        weight[:, half : 2 * half] = -weight[:, :half] * (1 + 1e-3 * rng.standard_normal((sizes["O"], half)))
    if regime == "trained":  # normed rows
        x /= np.sqrt((x**2).mean(1, keepdims=True))
        weight = weight / np.sqrt(np.float32(sizes["C"]))
    return {"x": x, "weight": weight}


def _values(shape: tuple[int, int], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape, dtype=np.float32)
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
    places = [j for j in (*EDGES, columns - 1) if j < columns]
    x[np.arange(rows), rng.choice(places, rows)] = 1e2
    return x


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["N"], sizes["O"])
    x = rng.standard_normal(shape, dtype=np.float32)
    gradients = {
        "normal": lambda: x,
        "rows": lambda: x * 2.0 ** rng.integers(-12, 6, (shape[0], 1)),
        "ones": lambda: np.ones(shape),
        "zeros": lambda: np.zeros(shape),
        "huge": lambda: 1e4 * x,
    }
    return {"dy": gradients[regime]()}
