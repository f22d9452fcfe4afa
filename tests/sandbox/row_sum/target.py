"""total_n = scale * sum_d x_nd: the smallest target with a reduction, a saved tensor and a gradient."""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec

TARGET = Target(
    name="row_sum",
    summary="scaled sums of rows",
    entries=(
        Entry(
            name="row_sum",
            axes=(Axis("N", maximum=4096), Axis("D", maximum=4096)),
            inputs=(TensorSpec("x", ("N", "D")),),
            outputs=(TensorSpec("total", ("N",)),),
            parameters=(Parameter("scale", "float"),),
            gradients=("x",),
            forward_flops=lambda sizes, parameters: 1.0 * sizes["N"] * sizes["D"],
            backward_flops=lambda sizes, parameters: 1.0 * sizes["N"] * sizes["D"],
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
)
