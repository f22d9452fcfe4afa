REGIMES = ("normal",)
OUTPUT_GRADIENT_REGIMES = ()
TIMED = ("normal", "normal")


def make(entry, sizes, parameters, regime, rng):
    return {"x": rng.standard_normal((sizes["N"], sizes["C"]))}
