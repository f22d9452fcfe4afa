"""Values for the AdamW step: benign, adversarial and as in mid-training, all finite; v is never negative."""

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
    "first_step",
    "denormal",
    "still",
    "trained",
)
# What a training step has, in values and output gradients.
TIMED = ("trained", "normal")
OUTPUT_GRADIENT_REGIMES: tuple[str, ...] = ()


def make(entry: str, sizes: Sizes, parameters: dict, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    E = sizes["E"]
    p, g, m, noise = rng.standard_normal((4, E))
    v = noise**2 + 0.01
    kept = rng.random(E) < 0.5
    values = {
        "normal": lambda: (p, g, m, v),
        "small": lambda: (1e-2 * p, 1e-4 * g, 1e-4 * m, 1e-8 * v),
        "large": lambda: (1e2 * p, 1e4 * g, 1e4 * m, 1e8 * v),
        "offset": lambda: (p + 50, g + 10, m + 10, v + 100),
        "wide": lambda: _wide(p, g, m, rng),
        "spike": lambda: (p, _spiked(g, rng), m, v),
        "constant": lambda: (np.full(E, 0.5), np.full(E, 0.25), np.full(E, -0.125), np.full(E, 0.75)),
        "zero_rows": lambda: (p, g * kept, m * kept, v * kept),
        "ties": lambda: (p, m, m, m**2),
        "integers": lambda: (np.rint(8 * p), np.rint(8 * g), np.rint(8 * m), np.rint(8 * v)),
        "first_step": lambda: (p, g, np.zeros(E), np.zeros(E)),
        "denormal": lambda: (p, 1e-20 * g, 1e-20 * m, 1e-40 * v),
        "still": lambda: (np.zeros(E), g, m, v),
        "trained": lambda: _trained(p, parameters, rng),
    }
    return dict(zip(("p", "g", "m", "v"), values[regime](), strict=True))


def _wide(p: ndarray, g: ndarray, m: ndarray, rng: np.random.Generator) -> tuple[ndarray, ...]:
    scale = 2.0 ** rng.uniform(-30, 10, p.shape)
    return (
        np.sign(p) * 2.0 ** rng.uniform(-20, 10, p.shape),
        g * scale,
        m * scale,
        (m * scale) ** 2 * rng.random(p.shape),
    )


def _spiked(g: ndarray, rng: np.random.Generator) -> ndarray:
    places = [i for i in (0, 15, 16, 31, 32, 63, 64, 127, 128, 1023, 1024, len(g) - 1) if i < len(g)]
    g[rng.choice(places)] = 1e5
    return g


def _trained(p: ndarray, parameters: dict, rng: np.random.Generator) -> tuple[ndarray, ...]:
    """Moments that gradients have left behind: some elements are touched always, some seldom, so v may be tiny."""
    beta1, beta2 = parameters["beta1"], parameters["beta2"]
    often = rng.random(p.shape) < 0.5
    scale = 1e-3 * 2.0 ** rng.uniform(-8, 2, p.shape)
    m, v = np.zeros_like(p), np.zeros_like(p)
    for age in range(24):
        g = scale * rng.standard_normal(p.shape) * (often | (age == 0))
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return 0.05 * p, g, m, v


def make_output_gradients(entry: str, sizes: Sizes, regime: str, rng: np.random.Generator) -> dict[str, ndarray]:
    raise ValueError(f"entry={entry!r} has no outputs, hence no output gradients")
