"""One step of AdamW on one tensor, in place.

    m' = m + (1 - beta1) (g - m),    v' = v + (1 - beta2) (g^2 - v)
    p' = p (1 - lr weight_decay) - lr / (1 - beta1^step) m' / (sqrt(v' / (1 - beta2^step)) + eps)

Loshchilov and Hutter, https://arxiv.org/abs/1711.05101; `step` counts from 1. The parameters are float32 numbers, as
the 0-dimensional tensors that nanochat passes: what follows from them, such as 1 - beta2, is meant exactly. Arithmetic
is float32; p', m' and v' are each rounded once to storage, and p' is made of the unrounded m' and v'.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 14.0 * sizes["E"]


TARGET = Target(
    name="adamw_step",
    summary="one AdamW step on one tensor, in place",
    entries=(
        Entry(
            name="adamw_step",
            axes=(Axis("E"),),
            inputs=tuple(TensorSpec(name, ("E",)) for name in ("p", "g", "m", "v")),
            outputs=(),
            parameters=(
                Parameter("step", "int64"),
                Parameter("lr", "float"),
                Parameter("beta1", "float"),
                Parameter("beta2", "float"),
                Parameter("eps", "float"),
                Parameter("weight_decay", "float"),
            ),
            updates=("p", "m", "v"),
            forward_flops=forward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    sources=("https://arxiv.org/abs/1711.05101",),
)
