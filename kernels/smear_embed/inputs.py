"""Values for the smear: benign, adversarial and as in mid-training, all finite.

After the norm every row has length sqrt(C), so how far the gates saturate is up to the weights.
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
    "integers",
    "saturated",
    "no_smear",
    "alike",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    weight = rng.standard_normal((1, sizes["G"]))
    if regime in ("saturated", "trained"):
        weight = weight * {"saturated": 30.0, "trained": 0.3}[regime]
    if regime == "constant":
        weight = np.full((1, sizes["G"]), 0.25)
    smear = 0.0 if regime == "no_smear" else rng.choice([-1, 1]) * rng.uniform(0.2, 1.5)
    return {
        "rows": _rows((sizes["B"], sizes["T"], sizes["C"]), regime, rng),
        "gate_weight": weight,
        "smear": np.array(smear),
    }


def _rows(shape: tuple[int, int, int], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    rows = {
        "small": lambda: 1e-4 * x,
        "large": lambda: 1e4 * x,
        "offset": lambda: x + 50.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 1.25),
        "zero_rows": lambda: x * (rng.random((*shape[:2], 1)) < 0.6),
        "integers": lambda: rng.integers(-8, 9, shape).astype(float),
        "alike": lambda: x[:, :1] * np.ones(shape),  # the same token again and again
        "trained": lambda: 0.8 * x * np.exp(0.3 * rng.standard_normal(shape[2])),
    }
    return rows[regime]() if regime in rows else x


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant channel a row, at the start, the end, a likely tile edge or the last that gates."""
    places = [j for j in (0, 15, 16, 23, 24, 31, 32, 63, 64, x.shape[2] - 1) if j < x.shape[2]]
    np.put_along_axis(x, rng.choice(places, (*x.shape[:2], 1)), 1e3, axis=-1)
    return x


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["B"], sizes["T"], sizes["C"])
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (*shape[:2], 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"dout": gradients[regime]}
