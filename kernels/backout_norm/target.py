"""RMS norm of what is left of a stream after a share of an earlier one was taken out.

    rest = x - backout x_back,    normed = rest / sqrt(mean(rest^2) + 2^-23)

What nanochat does before its head: the residual stream halfway up is taken out again. The norm is Zhang and Sennrich
2019's. Interiors are float32 and `normed` is rounded once: in bfloat16 that is closer to the exact result than eager
PyTorch, which also rounds the factor, the product and the difference.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes

ROWS = ("N", "C")


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 5.0 * sizes["N"] * sizes["C"]


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """The rest again, its product with the upstream gradient, the norm's gradient, and its product with x_back."""
    return 12.0 * sizes["N"] * sizes["C"]


TARGET = Target(
    name="backout_norm",
    summary="RMS normalisation of x - backout * x_back",
    entries=(
        Entry(
            name="backout_norm",
            axes=(Axis("N"), Axis("C")),
            inputs=(TensorSpec("x", ROWS), TensorSpec("x_back", ROWS), TensorSpec("backout", (), "float32")),
            outputs=(TensorSpec("normed", ROWS),),
            gradients=("x", "x_back", "backout"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    sources=("https://arxiv.org/abs/1910.07467",),
)
