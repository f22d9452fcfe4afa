"""Causal attention with a left window and grouped key heads.

    out_i = sum_j softmax_j(<q_i, k_j> / sqrt(D)) v_j    over keys max(0, i - window) <= j <= i

A window w admits w + 1 keys, as in FlashAttention-3 and nanochat. Query heads are grouped: head h reads key head
h // (H / K). Formulas and the blocked backward: Dao et al. 2022, https://arxiv.org/abs/2205.14135.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def visible_pairs(sizes: Sizes, parameters: Parameters) -> int:
    """Visible (query, key) pairs of one head."""
    length, reach = sizes["T"], min(int(parameters["window"]), sizes["T"] - 1)
    return length * (reach + 1) - reach * (reach + 1) // 2


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 4.0 * sizes["B"] * sizes["H"] * sizes["D"] * visible_pairs(sizes, parameters)


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 2.5 * forward_flops(sizes, parameters)


TARGET = Target(
    name="attention",
    summary="causal attention with a left window and grouped key heads",
    entries=(
        Entry(
            name="attention",
            axes=(Axis("B"), Axis("T"), Axis("H"), Axis("K"), Axis("D", minimum=8, maximum=256, multiple=8)),
            inputs=(
                TensorSpec("q", ("B", "T", "H", "D")),
                TensorSpec("k", ("B", "T", "K", "D")),
                TensorSpec("v", ("B", "T", "K", "D")),
            ),
            outputs=(TensorSpec("out", ("B", "T", "H", "D")),),
            parameters=(Parameter("window", "int64"),),
            gradients=("q", "k", "v"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    # As FlashAttention does: operands of the second products are narrow, every sum is float32.
    stored={
        "bfloat16": (
            "P, the probabilities (scaled by the row's sum or not), before P v and P^T dout",
            "dS, the gradients of the scores, before dS k and dS^T q",
            "out, as stored, where the backward reads it again",
        )
    },
    constraints=("H % K == 0",),
    sources=("https://arxiv.org/abs/2205.14135",),
)
