"""Values, gates, tables and tokens of every pattern: benign, adversarial and as in mid-training, all finite."""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]

REGIMES: tuple[str, ...] = (
    "normal",
    "small",
    "large",
    "wide",
    "spike",
    "constant",
    "integers",
    "saturated",
    "one_token",
    "ends",
    "each_once",
    "falling",
    "any_order",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N, heads = sizes["N"], (sizes["K"], sizes["D"])
    tokens = _tokens(N, sizes["V"], regime, rng)
    gate_input, gate_weight = rng.standard_normal((N, sizes["G"])), rng.standard_normal((sizes["K"], sizes["G"]))
    if regime in ("saturated", "trained"):
        gate_weight *= {"saturated": 30.0, "trained": 0.2}[regime]
    if regime == "constant":
        gate_input, gate_weight = np.full_like(gate_input, 1.25), np.zeros_like(gate_weight)
    return {
        "v": _values((N, *heads), regime, rng),
        "gate_input": gate_input,
        "gate_weight": gate_weight,
        "table": _values((sizes["V"], *heads), regime, rng).reshape(sizes["V"], -1),
        "tokens": tokens,
        "order": rng.permutation(N) if regime == "any_order" else np.argsort(tokens, kind="stable"),
    }


def _tokens(N: int, V: int, regime: str, rng: np.random.Generator) -> ndarray:
    patterns = {
        "one_token": lambda: np.full(N, rng.integers(V)),
        "ends": lambda: rng.choice([0, V - 1], N),
        "each_once": lambda: np.resize(rng.permutation(V), N),
        "falling": lambda: np.sort(rng.integers(0, V, N))[::-1].copy(),
    }
    return patterns.get(regime, lambda: _text(N, V, rng))()


def _text(N: int, V: int, rng: np.random.Generator) -> ndarray:
    """As in text: a few tokens are most of it (Zipf), and which these are has nothing to do with their numbers."""
    share = 1 / np.arange(2.0, V + 2)
    return rng.permutation(V)[rng.choice(V, N, p=share / share.sum())]


def _values(shape: tuple[int, int, int], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "small": lambda: 1e-4 * x,
        "large": lambda: 1e4 * x,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, shape),
        "spike": lambda: _spiked(x, rng),
        "constant": lambda: np.full(shape, 1.25),
        "integers": lambda: np.rint(8 * x),
        "trained": lambda: 0.5 * x * np.exp(0.5 * rng.standard_normal(shape[2])),
    }
    return values[regime]() if regime in values else x


def _spiked(x: ndarray, rng: np.random.Generator) -> ndarray:
    """One dominant channel a head, at the start, the end or a likely vector's edge."""
    places = [j for j in (0, 7, 8, 15, 16, 31, 32, x.shape[2] - 1) if j < x.shape[2]]
    np.put_along_axis(x, rng.choice(places, (*x.shape[:2], 1)), 1e3, axis=-1)
    return x


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["N"], sizes["K"], sizes["D"])
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (shape[0], 1, 1)),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"dmixed": gradients[regime]}
