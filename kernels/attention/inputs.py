"""Values for attention: benign, adversarial and as in mid-training, all finite.

Scores stay below about 1e4 in magnitude, so that first-order condition magnitudes hold in float32.
"""

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
    "rising",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    query_shape = tuple(sizes[axis] for axis in "BTHD")
    key_shape = tuple(sizes[axis] for axis in "BTKD")
    shapes = {"q": query_shape, "k": key_shape, "v": key_shape}
    return {name: _values(name, shape, regime, rng) for name, shape in shapes.items()}


def _values(name: str, shape: tuple[int, ...], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "normal": lambda: x,
        "small": lambda: 1e-4 * x,
        "large": lambda: (1e3 if name == "v" else 6.0) * x,
        "offset": lambda: x + (100.0 if name == "v" else 4.0),
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-10, 3, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 0.75),
        "zero_rows": lambda: x * (rng.random(shape[:3]) < 0.6)[..., None],
        "ties": lambda: rng.choice([-1.0, 0.0, 1.0], shape),
        "integers": lambda: rng.integers(-3, 4, shape).astype(float),
        "rising": lambda: x if name == "v" else _rising(name, x),
        "trained": lambda: x if name == "v" else _normalised(x),
    }
    return values[regime]()


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant token at the start, the end or a likely tile edge."""
    T = x.shape[1]
    places = [t for t in (0, 15, 16, 31, 32, 63, 64, 127, 128, T - 1) if t < T]
    x[:, rng.choice(places)] *= 16.0
    return x


def _rising(name: str, x: ndarray) -> ndarray:
    """Later keys score up to 240 more than the first, so a maximum of the first tile only overflows float32."""
    T, D = x.shape[1], x.shape[3]
    x[..., 0] = 12.0 if name == "q" else 20.0 * np.sqrt(D) * np.linspace(0.0, 1.0, T)[:, None]
    return x


def _normalised(x: ndarray) -> ndarray:
    """As after QK norm: every head vector has length 1.2 sqrt(D); neighbours in time resemble each other."""
    x[:, 1:] = 0.6 * x[:, :-1] + 0.8 * x[:, 1:]
    return 1.2 * x / np.sqrt((x**2).mean(-1, keepdims=True))


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = tuple(sizes[axis] for axis in "BTHD")
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (*shape[:3], 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"dout": gradients[regime]}
