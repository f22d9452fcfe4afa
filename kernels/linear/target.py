"""A linear layer without bias: one product forward, two backward.

    y = x weight^T,    dx = dy weight,    dweight = dy^T x

Weights have the activations' dtype: training casts its masters before the call. A kernel has to pack its operands, so
the contract starts where that can pay: gates of a dozen channels and single tokens stay with the library.
Axes: N rows, C channels, O outputs.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 2.0 * sizes["N"] * sizes["C"] * sizes["O"]


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Two products of the same size."""
    return 2.0 * forward_flops(sizes, parameters)


TARGET = Target(
    name="linear",
    summary="linear layer without bias: the product and its two gradients",
    entries=(
        Entry(
            name="linear",
            axes=(Axis("N", minimum=128), Axis("C", minimum=16), Axis("O", minimum=16)),
            inputs=(TensorSpec("x", ("N", "C")), TensorSpec("weight", ("O", "C"))),
            outputs=(TensorSpec("y", ("N", "O")),),
            gradients=("x", "weight"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    sources=("https://doi.org/10.1145/1356052.1356053",),
)
