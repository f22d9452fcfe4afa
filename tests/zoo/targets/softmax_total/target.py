"""total_n = sum_c softmax(x_n)_c: a target that no judge can judge, because its output is always one."""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec

TARGET = Target(
    name="softmax_total",
    summary="sums of probabilities",
    entries=(
        Entry(
            name="softmax_total",
            axes=(Axis("N", maximum=4096), Axis("C", maximum=4096)),
            inputs=(TensorSpec("x", ("N", "C")),),
            outputs=(TensorSpec("total", ("N",)),),
            parameters=(),
            gradients=(),
            forward_flops=lambda sizes, parameters: 5.0 * sizes["N"] * sizes["C"],
            backward_flops=lambda sizes, parameters: 0.0,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
)
