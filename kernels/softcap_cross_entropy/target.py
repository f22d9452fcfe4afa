"""Cross-entropy of soft-capped logits, one loss a row.

    z_j = 15 tanh(logits_j / 15),    loss = log sum_j exp(z_j) - z_target,    0 where the target is -1 (ignored)
    dlogits_j = dloss (softmax(z)_j - [j = target]) (1 - tanh(logits_j / 15)^2)

As at the end of nanochat's forward pass; the cap is Gemma 2's, https://arxiv.org/abs/2408.00118. The mean over valid
targets is left to the caller, so that a row's upstream gradient may be anything.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Cap, tanh, exponential and sum, each counted once for an element."""
    return 4.0 * sizes["N"] * sizes["V"]


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return 6.0 * sizes["N"] * sizes["V"]


TARGET = Target(
    name="softcap_cross_entropy",
    summary="cross-entropy of logits capped at 15 tanh(x / 15), a loss a row",
    entries=(
        Entry(
            name="softcap_cross_entropy",
            axes=(Axis("N"), Axis("V")),
            inputs=(TensorSpec("logits", ("N", "V")), TensorSpec("targets", ("N",), "int64")),
            outputs=(TensorSpec("loss", ("N",), "float32"),),
            gradients=("logits",),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    # bfloat16 logits are widened on load; what a forward may leave narrow for the backward is the finished gradient.
    stored={"bfloat16": ("dlogits / dloss, before it is scaled",)},
    sources=("https://arxiv.org/abs/2408.00118",),
)
