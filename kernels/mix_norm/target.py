"""RMS normalisation without weights, alone and behind the mix of two streams.

    rms_norm:  y = x / sqrt(mean(x^2) + 2^-23)
    mix_norm:  mixed = resid x + skip x0,    normed = mixed / sqrt(mean(mixed^2) + 2^-23)

Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467; the mix is nanochat's at the top of every layer. Interiors
are float32. `mixed` is rounded once, and `normed` is made of the mix, rounded or not, and rounded once: in bfloat16
that is closer to the exact result than eager PyTorch, which also rounds both products before it adds them.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes

ROWS = (Axis("N"), Axis("C"))


def _per_element(count: float):  # type: ignore[no-untyped-def]
    def flops(sizes: Sizes, parameters: Parameters) -> float:
        return count * sizes["N"] * sizes["C"]

    return flops


TARGET = Target(
    name="mix_norm",
    summary="RMS normalisation without weights, alone and behind resid * x + skip * x0",
    entries=(
        Entry(
            name="mix_norm",
            axes=ROWS,
            inputs=(
                TensorSpec("x", ("N", "C")),
                TensorSpec("x0", ("N", "C")),
                TensorSpec("resid", (), "float32"),
                TensorSpec("skip", (), "float32"),
            ),
            outputs=(TensorSpec("mixed", ("N", "C")), TensorSpec("normed", ("N", "C"))),
            gradients=("x", "x0", "resid", "skip"),
            forward_flops=_per_element(6.0),
            backward_flops=_per_element(16.0),
        ),
        Entry(
            name="rms_norm",
            axes=ROWS,
            inputs=(TensorSpec("x", ("N", "C")),),
            outputs=(TensorSpec("y", ("N", "C")),),
            gradients=("x",),
            forward_flops=_per_element(3.0),
            backward_flops=_per_element(6.0),
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    stored={
        "bfloat16": (
            "mixed, as stored, where it is normed or the backward reads it again",
            "normed and y, as stored, where the backward reads them again",
        )
    },
    sources=("https://arxiv.org/abs/1910.07467",),
)
