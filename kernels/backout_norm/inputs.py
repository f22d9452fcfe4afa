"""Values for the norm behind a difference: benign, adversarial and as in mid-training, all finite."""

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


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["N"], sizes["C"])
    if regime == "trained":
        return _trained(shape, rng)
    x, x_back, backout = _values(shape, regime, rng), _values(shape, regime, rng), rng.uniform(-0.4, 0.8)
    if regime == "cancelling":
        x_back, backout = x * (1 + 1e-2 * rng.standard_normal(shape)), 1.0
    if regime in ("constant", "integers"):
        backout = 0.25
    return {"x": x, "x_back": x_back, "backout": np.array(backout)}


def _values(shape: tuple[int, int], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "small": lambda: 1e-4 * x,
        "large": lambda: 1e4 * x,
        "offset": lambda: x + 50.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 1.25),
        "zero_rows": lambda: x * (rng.random((shape[0], 1)) < 0.6),
        "ties": lambda: rng.choice([-1.0, 0.0, 1.0], shape),
        "integers": lambda: rng.integers(-8, 9, shape).astype(float),
    }
    return values[regime]() if regime in values else x


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant channel a row, at the start, the end or a likely tile edge."""
    N, C = x.shape
    places = [j for j in (0, 15, 16, 31, 32, 63, 64, 127, 128, C - 1) if j < C]
    x[np.arange(N), rng.choice(places, N)] = 1e3
    return x


def _trained(shape: tuple[int, int], rng: np.random.Generator) -> dict[str, ndarray]:
    """A residual stream, and itself halfway up: much of it is in both, a few channels are large in every row."""
    halfway, since = rng.standard_normal((2, *shape))
    channels = np.exp(0.5 * rng.standard_normal(shape[1]))
    channels[rng.integers(shape[1])] *= 20.0
    lengths = np.exp(0.3 * rng.standard_normal((shape[0], 1)))
    x_back = halfway * channels * lengths
    return {"x": x_back + since * channels, "x_back": x_back, "backout": np.array(rng.uniform(0.1, 0.4))}


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["N"], sizes["C"])
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (shape[0], 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"dnormed": gradients[regime]}
