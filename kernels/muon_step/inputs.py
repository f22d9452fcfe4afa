"""Values for the Muon step: benign, adversarial and as in mid-training, all finite; second moments are not negative.

Gradients as small as 1e-7 make the epsilons count; matrices of low rank make rounding count, because the iteration
amplifies it where singular values vanish.
"""

import numpy as np
from numpy import ndarray

Sizes = dict[str, int]

REGIMES: tuple[str, ...] = (
    "normal",
    "small",
    "tiny",
    "large",
    "offset",
    "wide",
    "columns",
    "spike",
    "zero_rows",
    "zero_matrices",
    "low_rank",
    "integers",
    "still",
    "first_step",
    "quiet",
    "trained",
)
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ()


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    K, M, N, S = (sizes[axis] for axis in "KMNS")
    p, g, m = rng.standard_normal((3, K, M, N))
    # A semi-orthogonal matrix has the mean square 1/S in its rows (M >= N) or columns.
    s = (0.5 + rng.random((K, S))) / S
    row_scale = 2.0 ** rng.uniform(-12, 6, (K, M, 1))
    column_scale = 2.0 ** -rng.uniform(0, 24, (K, 1, N))
    kept_rows, kept_matrices = rng.random((K, M, 1)) < 0.7, rng.random((K, 1, 1)) < 0.5
    values = {
        "normal": lambda: (p, g, m, s),
        "small": lambda: (1e-2 * p, 1e-5 * g, 1e-5 * m, s),
        "tiny": lambda: (p, 1e-7 * g, 1e-7 * m, 1e-11 * s),
        "large": lambda: (1e2 * p, 1e4 * g, 1e4 * m, 1e2 * s),
        "offset": lambda: (p + 5, g + 1, m + 1, s),
        "wide": lambda: (p, g * row_scale, m * row_scale, s * 2.0 ** rng.uniform(-6, 6, (K, S))),
        # Columns so short that their second moment stays below its least value under the root.
        "columns": lambda: (p, g * column_scale, m * column_scale, np.zeros_like(s)),
        "spike": lambda: (p, _spiked(g, rng), m, s),
        "zero_rows": lambda: (p, g * kept_rows, m * kept_rows, s * (rng.random((K, S)) < 0.7)),
        "zero_matrices": lambda: (p, g * kept_matrices, m * kept_matrices, s * kept_matrices[:, 0]),
        "low_rank": lambda: (p, *_low_rank(sizes, rng), s),
        "integers": lambda: (np.rint(8 * p), np.rint(8 * g), np.rint(8 * m), s),
        "still": lambda: (np.zeros_like(p), g, m, s),
        "first_step": lambda: (p, g, np.zeros_like(m), np.zeros_like(s)),
        "quiet": lambda: (0.02 * p, 1e-3 * g, 1e-3 * m, np.zeros_like(s)),
        "trained": lambda: _trained(sizes, p, s, rng),
    }
    return dict(zip(("params", "grads", "momentum_buffer", "second_moment"), values[regime](), strict=True))


def _spiked(g: ndarray, rng: np.random.Generator) -> ndarray:
    """One large element a matrix, at a likely tile edge."""
    K, M, N = g.shape
    rows, columns = ([i for i in (0, 5, 6, 11, 12, 15, 16, 31, 32, size - 1) if i < size] for size in (M, N))
    g[np.arange(K), rng.choice(rows, K), rng.choice(columns, K)] = 1e3
    return g


def _low_rank(sizes: Sizes, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """A gradient and a momentum of rank at most three, with the same row space."""
    K, M, N = (sizes[axis] for axis in "KMN")
    rank = int(rng.integers(1, 4))
    shared = rng.standard_normal((K, rank, N))
    return rng.standard_normal((K, M, rank)) @ shared, rng.standard_normal((K, M, rank)) @ shared


def _trained(sizes: Sizes, p: ndarray, s: ndarray, rng: np.random.Generator) -> tuple[ndarray, ...]:
    """A few strong directions over a floor of noise that momentum has averaged; rows of unequal size."""
    K, M, N = (sizes[axis] for axis in "KMN")
    rank = max(1, min(M, N) // 8)
    strong = 2.0 ** -np.arange(rank)[:, None] * rng.standard_normal((K, rank, N))
    signal = rng.standard_normal((K, M, rank)) @ strong
    noise = 0.3 * rng.standard_normal((2, K, M, N))
    scale = 1e-3 * 2.0 ** rng.uniform(-2, 2, (K, M, 1))
    return 0.05 * p, scale * (signal + noise[0]), scale * (signal + 0.3 * noise[1]), s


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    raise ValueError(f"entry={entry!r} has no outputs, hence no output gradients")
