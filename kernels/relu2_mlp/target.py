"""The feed-forward layer: two products with the squared positive part between them.

    h = input fc^T,    a = max(h, 0)^2,    projected = a proj^T

So et al. 2021, https://arxiv.org/abs/2109.08668. Weights have the activations' dtype: training casts its masters
before the call. Axes: N rows, C width, F features (4 C in nanochat).
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Two products."""
    return 4.0 * sizes["N"] * sizes["C"] * sizes["F"]


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Four; a kernel that computes h again has five."""
    return 2.0 * forward_flops(sizes, parameters)


TARGET = Target(
    name="relu2_mlp",
    summary="feed-forward layer: product, squared positive part, product",
    entries=(
        Entry(
            name="relu2_mlp",
            axes=(Axis("N"), Axis("C"), Axis("F")),
            inputs=(TensorSpec("input", ("N", "C")), TensorSpec("fc", ("F", "C")), TensorSpec("proj", ("C", "F"))),
            outputs=(TensorSpec("projected", ("N", "C")),),
            gradients=("input", "fc", "proj"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    # Operands of the later products are narrow, every sum is float32.
    stored={
        "bfloat16": (
            "h, before it is squared and where the backward reads it again",
            "a, before a proj^T and dout^T a",
            "da = dout proj, before it is multiplied by the slope",
            "dh = 2 max(h, 0) da, before dh fc and dh^T input",
        )
    },
    sources=("https://arxiv.org/abs/2109.08668",),
)
