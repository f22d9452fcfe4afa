"""Normed embedding rows, each with a gated share of its predecessor added.

    x_t = rows_t / sqrt(mean(rows_t^2) + 2^-23)
    out_t = x_t + smear sigmoid(w . x_t[:G]) x_{t-1},    out_0 = x_0

The predecessor is the normed row before its own smear, as in nanochat's embedding. The gate's weight and the factor
stay float32 in both dtypes, as training stores them; U is 1, the gates of a row. Interiors are float32 and `out` is
rounded once; eager PyTorch in bfloat16 rounds x, the gate and both terms as well.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes

ROWS = ("B", "T", "C")


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """The norm, and one product and sum for the predecessor; the gate's few channels are left out."""
    return 5.0 * sizes["B"] * sizes["T"] * sizes["C"]


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Two products of rows, the sum of both upstream gradients, and the norm's gradient."""
    return 10.0 * sizes["B"] * sizes["T"] * sizes["C"]


TARGET = Target(
    name="smear_embed",
    summary="RMS normalisation of embedding rows, plus a gated share of the row before",
    entries=(
        Entry(
            name="smear_embed",
            axes=(Axis("B"), Axis("T"), Axis("C"), Axis("G"), Axis("U", maximum=1)),
            inputs=(
                TensorSpec("rows", ROWS),
                TensorSpec("gate_weight", ("U", "G"), "float32"),
                TensorSpec("smear", (), "float32"),
            ),
            outputs=(TensorSpec("out", ROWS),),
            gradients=("rows", "gate_weight", "smear"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    constraints=("G <= C",),
    sources=("https://arxiv.org/abs/1910.07467",),
)
