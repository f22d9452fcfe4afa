"""Rotary positions, RMS norm of each head and the attention's sharpening factor, for queries and keys in one call.

    (u, w) = (c x + s z, c z - s x)    for the halves (x, z) of a head of D = 2 F numbers, c and s of its position
    out    = 1.2 (u, w) / sqrt(mean((u, w)^2) + 2^-23)

Rotary embedding: Su et al. 2021, https://arxiv.org/abs/2104.09864, by minus the angle as nanochat turns; RMS norm:
Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467. The tables are inputs like any other: nothing says that
c^2 + s^2 = 1 (in bfloat16 it is off by up to 2^-8), so the norm is that of the turned head, not of the given one.
Interiors are float32 with one rounding at the end; eager PyTorch in bfloat16 rounds six times on the way.

Axes: B batch, T time, H query heads, K key heads, D head size, F = D / 2 angles, U one.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def _elements(sizes: Sizes) -> float:
    return float(sizes["B"] * sizes["T"] * (sizes["H"] + sizes["K"]) * sizes["D"])


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Three to turn, two to square and add, one to scale an element."""
    return 6.0 * _elements(sizes)


def backward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """Norm's own six, three to turn back, and two for the sum of squares or its reading."""
    return 11.0 * _elements(sizes)


TARGET = Target(
    name="rope_qknorm",
    summary="rotary positions, RMS norm of each head and a factor of 1.2, queries and keys in one call",
    entries=(
        Entry(
            name="rope_qknorm",
            axes=(
                Axis("B"),
                Axis("T"),
                Axis("H"),
                Axis("K"),
                Axis("D", minimum=8, maximum=256, multiple=8),
                Axis("F", minimum=4, maximum=128, multiple=4),
                Axis("U", maximum=1),
            ),
            inputs=(
                TensorSpec("q", ("B", "T", "H", "D")),
                TensorSpec("k", ("B", "T", "K", "D")),
                TensorSpec("cos", ("U", "T", "U", "F")),
                TensorSpec("sin", ("U", "T", "U", "F")),
            ),
            outputs=(TensorSpec("q_out", ("B", "T", "H", "D")), TensorSpec("k_out", ("B", "T", "K", "D"))),
            gradients=("q", "k"),
            forward_flops=forward_flops,
            backward_flops=backward_flops,
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    stored={"bfloat16": ("q_out and k_out, as stored, where the backward reads them again",)},
    constraints=("D == 2 * F",),
    sources=("https://arxiv.org/abs/2104.09864", "https://arxiv.org/abs/1910.07467"),
)
