"""Look-up in an embedding table, its dense gradient, and the order of the tokens that several tables share.

    order = stable argsort of tokens
    rows_n = table[tokens_n],    dtable_v = sum over i with tokens[order_i] = v of drows[order_i]

A batch's tokens are sorted once; the backward of every table then adds each row's gradients in that order, so it is
deterministic. Rows without tokens have gradient zero, exactly. `order` may be any list of positions and means what the
sum says; training gives the sorted one, and a kernel may be fast for that one only. Tokens lie in 0..V-1 and positions
in 0..N-1: neither is checked. Sums are float32, one rounding each.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def per_token(sizes: Sizes, parameters: Parameters) -> float:
    return float(sizes["N"])


def per_element(sizes: Sizes, parameters: Parameters) -> float:
    """Each number of the rows and of the table once: an addition or a zero, and no more arithmetic than that."""
    return float((sizes["N"] + sizes["V"]) * sizes["C"])


TARGET = Target(
    name="embedding_backward",
    summary="embedding look-up with a deterministic dense gradient, and the token order that tables share",
    entries=(
        Entry(
            name="token_order",
            axes=(Axis("N"),),
            inputs=(TensorSpec("tokens", ("N",), "int64"),),
            outputs=(TensorSpec("order", ("N",), "int64"),),
            parameters=(Parameter("vocab_size", "int64"),),
            forward_flops=per_token,
        ),
        Entry(
            name="embedding",
            axes=(Axis("N"), Axis("V"), Axis("C")),
            inputs=(
                TensorSpec("table", ("V", "C")),
                TensorSpec("tokens", ("N",), "int64"),
                TensorSpec("order", ("N",), "int64"),
            ),
            outputs=(TensorSpec("rows", ("N", "C")),),
            gradients=("table",),
            forward_flops=per_element,
            backward_flops=per_element,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
)
