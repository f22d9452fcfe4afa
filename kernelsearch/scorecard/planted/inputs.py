"""Benign values only: nothing is judged here, only timed."""

import numpy as np

REGIMES = ("normal",)
OUTPUT_GRADIENT_REGIMES = ()
TIMED = ("normal", "normal")


def make(
    entry: str, sizes: dict[str, int], parameters: dict[str, float], regime: str, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((sizes["N"], sizes["C"]))}
