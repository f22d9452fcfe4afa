"""y_n = mean_m w_m of a fixed amount of work: a target whose cost is dialled, to measure what the clock can see.

A candidate does `WORK` sweeps over the row, so that two bindings differ in time by a known share and in nothing else.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec

TARGET = Target(
    name="planted",
    summary="row sums of squares, repeated: cost by request",
    entries=(
        Entry(
            name="planted",
            axes=(Axis("N"), Axis("C")),
            inputs=(TensorSpec("x", ("N", "C")),),
            outputs=(TensorSpec("y", ("N",)),),
            forward_flops=lambda sizes, parameters: 2.0 * sizes["N"] * sizes["C"],
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
)
