"""Values for the squared positive part: benign, adversarial and as in mid-training, all finite.

Benign values are positive but for one in 32: equal results count once (docs/numerics.md), and half of them zero would
leave next to none to judge the mean error by.
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
    "underflow",
    "overflow",
    "zeros",
    "ties",
    "integers",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "blocks", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N = sizes["N"]
    x = rng.standard_normal(N, dtype=np.float32)
    values = {
        "normal": lambda: np.where(rng.random(N) < 1 / 32, -1, 1) * np.abs(x),
        "small": lambda: 1e-4 * x,
        "large": lambda: 1e4 * x,
        "offset": lambda: x + 50.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, N),
        "underflow": lambda: 1e-22 * x,  # the square is denormal or nothing, its slope is not
        "overflow": lambda: 1e19 * x,  # the square is infinite for some, its slope for none
        "zeros": lambda: x * rng.integers(-1, 2, N),
        "ties": lambda: rng.choice([-1.0, -0.0, 0.0, 1.0], N),
        "integers": lambda: rng.integers(-8, 9, N).astype(float),
        "trained": lambda: 0.5 * x - 0.3,
    }
    return {"h": values[regime]()}


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N = sizes["N"]
    x = rng.standard_normal(N, dtype=np.float32)
    gradients = {
        "normal": lambda: x,
        "blocks": lambda: x * 2.0 ** rng.integers(-12, 6, N // 16 + 1).repeat(16)[:N],
        "ones": lambda: np.ones(N),
        "zeros": lambda: np.zeros(N),
        "huge": lambda: 1e4 * x,
    }
    return {"dactivated": gradients[regime]()}
