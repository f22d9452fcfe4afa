"""Values for soft-capped cross-entropy: benign, adversarial and as in mid-training, all finite.

Targets are drawn on their own: mostly valid with ignored ones between, sometimes at the vocabulary's ends, sometimes
all ignored or none.
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
    "saturated",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "mean", "ones", "zeros", "huge")
# What a training step has, in values and output gradients: no target is ignored there.
TIMED = ("step", "mean")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N, V = sizes["N"], sizes["V"]
    targets = rng.integers(0, V, N) if regime == "step" else _targets(N, V, rng)
    x = rng.standard_normal((N, V), dtype=np.float32)
    values = {
        "normal": lambda: x,
        "small": lambda: 1e-4 * x,
        "large": lambda: 12.0 * x,
        "offset": lambda: x - 20.0,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, (N, V)),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full((N, V), 2.5),
        "zero_rows": lambda: x * (rng.random((N, 1)) < 0.6),
        "ties": lambda: rng.choice([-1.0, 0.0, 1.0], (N, V)),
        "integers": lambda: rng.integers(-20, 21, (N, V)).astype(float),
        "saturated": lambda: np.sign(x) * rng.choice([100.0, 140.0, 1e4, 1e30], (N, V)),
        "trained": lambda: _trained(x, targets),
        "step": lambda: _trained(x, targets),
    }
    return {"logits": values[regime](), "targets": targets}


def _targets(N: int, V: int, rng: np.random.Generator) -> ndarray:
    targets = rng.integers(0, V, N)
    kind = rng.choice(["some ignored", "none ignored", "at the ends", "all ignored"], p=[0.6, 0.2, 0.1, 0.1])
    if kind == "at the ends":
        targets = rng.choice([0, V - 1], N)
    if kind == "some ignored":
        targets[rng.random(N) < 0.25] = -1
    return np.full(N, -1) if kind == "all ignored" else targets


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant logit a row, at the start, the end or a likely tile edge."""
    N, V = x.shape
    places = [j for j in (0, 15, 16, 31, 32, 63, 64, 127, 128, 1023, 1024, V - 1) if j < V]
    x[np.arange(N), rng.choice(places, N)] = 60.0
    return x


def _trained(x: ndarray, targets: ndarray) -> ndarray:
    """Most logits well below zero, the target's often on top."""
    rows = np.flatnonzero(targets >= 0)
    x *= 2.0
    x -= 4.0
    x[rows, targets[rows]] += 12.0 * (np.arange(len(rows)) % 4 != 0)
    return x


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N = sizes["N"]
    x = rng.standard_normal(N)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, N),
        "mean": np.full(N, 1.0 / N),
        "ones": np.ones(N),
        "zeros": np.zeros(N),
        "huge": 1e4 * x,
    }
    return {"dloss": gradients[regime]}
