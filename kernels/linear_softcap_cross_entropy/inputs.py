"""Values for head and loss: benign, adversarial and as in mid-training, all finite, logits included.

Targets are drawn on their own: mostly valid with ignored ones between, sometimes at the vocabulary's ends, sometimes
all ignored or none. Padding rows of the weight hold numbers like any other row.
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
    N, C, V = sizes["N"], sizes["C"], sizes["V"]
    count = min(V, parameters["vocab_size"])
    targets = rng.integers(0, count, N) if regime == "step" else _targets(N, count, rng)
    x = rng.standard_normal((N, C), dtype=np.float32)
    weight = rng.standard_normal((V, C), dtype=np.float32) / np.float32(np.sqrt(C))
    values = {
        "normal": lambda: (x, weight),
        "small": lambda: (1e-2 * x, 1e-2 * weight),
        "large": lambda: (4.0 * x, 3.0 * weight),
        "offset": lambda: (x + 2.0, weight - 4.0 / C),
        "wide": lambda: (_wide(x, rng), _wide(weight, rng)),
        "spike": lambda: (_spiked(x, rng), _spiked(weight, rng)),
        "constant": lambda: (np.full((N, C), 0.75), np.full((V, C), 1.5 / C)),
        "zero_rows": lambda: (x * (rng.random((N, 1)) < 0.6), weight * (rng.random((V, 1)) < 0.6)),
        "ties": lambda: (rng.choice([-1.0, 0.0, 1.0], (N, C)), rng.choice([-1.0, 0.0, 1.0], (V, C))),
        "integers": lambda: (rng.integers(-3, 4, (N, C)).astype(float), rng.integers(-3, 4, (V, C)).astype(float)),
        "saturated": lambda: (x * rng.choice([1.0, 40.0, 1e4, 1e15], (N, 1)), 2.0 * weight),
        "trained": lambda: _trained(x, weight, targets),
        "step": lambda: _trained(x, weight, targets),
    }
    x, weight = values[regime]()
    return {"x": x, "weight": weight, "targets": targets}


def _targets(N: int, count: int, rng: np.random.Generator) -> ndarray:
    targets = rng.integers(0, count, N)
    kind = rng.choice(["some ignored", "none ignored", "at the ends", "all ignored"], p=[0.6, 0.2, 0.1, 0.1])
    if kind == "at the ends":
        targets = rng.choice([0, count - 1], N)
    if kind == "some ignored":
        targets[rng.random(N) < 0.25] = -1
    return np.full(N, -1) if kind == "all ignored" else targets


def _wide(x: ndarray, rng: np.random.Generator) -> ndarray:
    return np.sign(x) * np.abs(x).mean() * 2.0 ** rng.uniform(-12, 3, x.shape)


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant number a row, at the start, the end or a likely tile edge."""
    rows, columns = x.shape
    places = [j for j in (0, 15, 16, 31, 32, 63, 64, 127, 128, columns - 1) if j < columns]
    x[np.arange(rows), rng.choice(places, rows)] *= 16.0
    return x


def _trained(x: ndarray, weight: ndarray, targets: ndarray) -> tuple[ndarray, ndarray]:
    """Normalised activations; most logits well below zero, the target's often on top."""
    C = x.shape[1]
    valid = targets >= 0
    often = np.where(np.arange(len(x)) % 4 != 0, 0.7, 0.0)[valid, None].astype(np.float32)
    x[valid] += often * weight[targets[valid]] * np.sqrt(C)
    x[:, 0] = 1.5
    x /= np.sqrt((x**2).mean(1, keepdims=True))
    weight = 4.0 * weight / np.sqrt((weight**2).sum(1, keepdims=True))
    weight[:, 0] = -3.0
    return x, weight


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
