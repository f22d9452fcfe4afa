"""Attention's values, plus the token's value embedding scaled by a gate for each head.

    gate_nk = 3 sigmoid(gate_weight_k . gate_input_n),    mixed_nkd = v_nkd + gate_nk table[tokens_n]_(kD+d)
    dtable_v = sum over n with tokens_n = v of gate_n dmixed_n,  exactly zero for rows without tokens

As in nanochat's layers with a value embedding. The gradient of v is dmixed itself: copying it would be a third of the
backward's traffic, so no kernel does, and op.py passes it on. `order` is the stable argsort of the tokens, as
embedding_backward's token_order makes it, and only a hint: a kernel that uses it must see for itself that it is that,
and results never depend on it. Tokens lie in 0..V-1, unchecked. The gate's weight stays float32 in both dtypes, as
training stores it; interiors and sums are float32, each result is rounded once.
"""

from dataclasses import dataclass

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import DTYPES, Parameters, Sizes, Work

HEADS = ("N", "K", "D")


@dataclass(frozen=True)
class LookUp(Entry):
    """An entry that touches N rows of its table, not all V; the table's gradient is dense."""

    def work(self, sizes: Sizes, parameters: Parameters, scalar: str, *, backward: bool) -> Work:
        whole = super().work(sizes, parameters, scalar, backward=backward)
        spared = max(0, sizes["V"] - sizes["N"]) * sizes["C"] * DTYPES[scalar]
        return Work(whole.flops, whole.bytes - spared)


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """The gate's product, and one product and sum for each number looked up."""
    return 2.0 * sizes["N"] * sizes["K"] * (sizes["G"] + sizes["D"])


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Both gradients of the gate's product; of the mix, the gate's gradient and the table's."""
    return 4.0 * sizes["N"] * sizes["K"] * (sizes["G"] + sizes["D"])


TARGET = Target(
    name="value_mix",
    summary="attention's values plus gated value embeddings: gather, gate and add",
    entries=(
        LookUp(
            name="value_mix",
            axes=(Axis("N"), Axis("K"), Axis("D"), Axis("G"), Axis("V"), Axis("C")),
            inputs=(
                TensorSpec("v", HEADS),
                TensorSpec("gate_input", ("N", "G")),
                TensorSpec("gate_weight", ("K", "G"), "float32"),
                TensorSpec("table", ("V", "C")),
                TensorSpec("tokens", ("N",), "int64"),
                TensorSpec("order", ("N",), "int64"),
            ),
            outputs=(TensorSpec("mixed", HEADS),),
            gradients=("gate_input", "gate_weight", "table"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    constraints=("C == K * D",),
)
