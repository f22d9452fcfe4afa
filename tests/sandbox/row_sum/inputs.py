import numpy as np

REGIMES = ("normal", "large")
OUTPUT_GRADIENT_REGIMES = ("normal", "ones")
TIMED = ("normal", "normal")


def make(entry, sizes, parameters, regime, rng):
    return {"x": rng.standard_normal((sizes["N"], sizes["D"])) * (1000.0 if regime == "large" else 1.0)}


def make_output_gradients(entry, sizes, regime, rng):
    return {"dtotal": rng.standard_normal(sizes["N"]) if regime == "normal" else np.ones(sizes["N"])}
