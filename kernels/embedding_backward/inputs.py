"""Tokens of every pattern, table rows and their gradients: benign, adversarial and as in mid-training, all finite."""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]

REGIMES: tuple[str, ...] = (
    "normal",
    "uniform",
    "one_token",
    "ends",
    "each_once",
    "rising",
    "falling",
    "any_order",
    "repeated_positions",
    "large",
    "wide",
    "integers",
    "trained",
)
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ("normal", "rows", "integers", "ones", "zeros", "huge")
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    N = sizes["N"]
    if entry == "token_order":
        return {"tokens": _tokens(N, int(parameters["vocab_size"]), regime, rng)}
    tokens = _tokens(N, sizes["V"], regime, rng)
    orders = {"any_order": lambda: rng.permutation(N), "repeated_positions": lambda: rng.integers(0, N, N)}
    order = orders.get(regime, lambda: np.argsort(tokens, kind="stable"))()
    return {"table": _values((sizes["V"], sizes["C"]), regime, rng), "tokens": tokens, "order": order}


def _tokens(N: int, V: int, regime: str, rng: np.random.Generator) -> ndarray:
    patterns = {
        "uniform": lambda: rng.integers(0, V, N),
        "one_token": lambda: np.full(N, rng.integers(V)),
        "ends": lambda: rng.choice([0, V - 1], N),
        "each_once": lambda: np.resize(rng.permutation(V), N),
        "rising": lambda: np.sort(rng.integers(0, V, N)),
        "falling": lambda: np.sort(rng.integers(0, V, N))[::-1].copy(),
    }
    return patterns.get(regime, lambda: _text(N, V, rng))()


def _text(N: int, V: int, rng: np.random.Generator) -> ndarray:
    """As in text: a few tokens are most of it (Zipf), and which these are has nothing to do with their numbers."""
    share = 1 / np.arange(2.0, V + 2)
    ranks = rng.choice(V, N, p=share / share.sum())
    return rng.permutation(V)[ranks]


def _values(shape: tuple[int, int], regime: str, rng: np.random.Generator) -> ndarray:
    x = rng.standard_normal(shape)
    values = {
        "large": lambda: 1e4 * x,
        "wide": lambda: np.sign(x) * 2.0 ** rng.uniform(-20, 10, shape),
        "integers": lambda: np.rint(8 * x),
        "trained": lambda: 0.8 * x * np.exp(0.5 * rng.standard_normal(shape[1])),
    }
    return values.get(regime, lambda: x)()


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    shape = (sizes["N"], sizes["C"])
    x = rng.standard_normal(shape)
    gradients = {
        "normal": x,
        "rows": x * 2.0 ** rng.integers(-12, 6, (shape[0], 1)),
        "integers": np.rint(8 * x),
        "ones": np.ones(shape),
        "zeros": np.zeros(shape),
        "huge": 1e4 * x,
    }
    return {"drows": gradients[regime]}
