"""A target as small as one can be that uses every feature: saved tensors, two outputs, an entry that works in place."""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec

BLEND = Entry(
    name="blend",
    axes=(Axis("N", maximum=4096), Axis("D", multiple=4, maximum=4096)),
    inputs=(TensorSpec("x", ("N", "D")), TensorSpec("y", ("N", "D")), TensorSpec("index", ("N",), "int64")),
    outputs=(TensorSpec("product", ("N", "D")), TensorSpec("total", ("N", "D"))),
    parameters=(Parameter("scale", "float"),),
    gradients=("x", "y"),
    forward_flops=lambda sizes, parameters: 3.0 * sizes["N"] * sizes["D"],
    backward_flops=lambda sizes, parameters: 6.0 * sizes["N"] * sizes["D"],
)
NUDGE = Entry(
    name="nudge",
    axes=(Axis("L"),),
    inputs=(TensorSpec("p", ("L",)), TensorSpec("g", ("L",)), TensorSpec("m", ("L",), "float32")),
    outputs=(),
    parameters=(Parameter("step", "int64"), Parameter("lr", "float")),
    updates=("p", "m"),
    forward_flops=lambda sizes, parameters: 3.0 * sizes["L"],
)
TARGET = Target(
    name="blend",
    summary="product = (scale + index) * x * y, total = x + y; p -= step * lr * g, m += g",
    entries=(BLEND, NUDGE),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    constraints=("N <= 4 * D",),
)
