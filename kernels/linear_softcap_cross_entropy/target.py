"""Cross-entropy of the soft-capped logits of a linear layer, one loss a row; the logits themselves are nobody's result.

    l_j = <x, weight_j>,    z_j = 15 tanh(l_j / 15)    for the first min(vocab_size, V) rows of weight
    loss = log sum_j exp(z_j) - z_target,    0 where the target is -1 (ignored)
    g_j = dloss (softmax(z)_j - [j = target]) (1 - tanh(l_j / 15)^2)
    dx = sum_j g_j weight_j,    dweight_j = sum over rows of g_j x,    0 for the rows of weight that are padding

The end of nanochat's forward pass with its last product. Not to hold N x V numbers is the idea of Wijmans et al. 2024,
https://arxiv.org/abs/2411.09009; the cap is Gemma 2's, https://arxiv.org/abs/2408.00118. The mean over valid targets is
left to the caller, so that a row's upstream gradient may be anything.

Axes: N rows, C channels, V rows of the weight.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def _logits(sizes: Sizes, parameters: Parameters) -> float:
    return float(sizes["N"] * min(sizes["V"], int(parameters["vocab_size"])))


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """The product; cap, tanh, exponential and sum, each counted once for a logit."""
    return (2.0 * sizes["C"] + 4.0) * _logits(sizes, parameters)


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    return (4.0 * sizes["C"] + 6.0) * _logits(sizes, parameters)


TARGET = Target(
    name="linear_softcap_cross_entropy",
    summary="cross-entropy of a linear layer's logits capped at 15 tanh(x / 15), a loss a row, without the logits",
    entries=(
        Entry(
            name="linear_softcap_cross_entropy",
            axes=(Axis("N"), Axis("C"), Axis("V")),
            inputs=(
                TensorSpec("x", ("N", "C")),
                TensorSpec("weight", ("V", "C")),
                TensorSpec("targets", ("N",), "int64"),
            ),
            outputs=(TensorSpec("loss", ("N",), "float32"),),
            parameters=(Parameter("vocab_size", "int64"),),
            gradients=("x", "weight"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    # Operands of the gradient's products may be narrow, as in attention; logits and every sum are float32.
    stored={"bfloat16": ("the gradients of the logits (scaled by dloss or not), before the products dx and dweight",)},
    sources=("https://arxiv.org/abs/2411.09009", "https://arxiv.org/abs/2408.00118"),
)
