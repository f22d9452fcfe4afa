"""The squared positive part, element by element.

    out = max(h, 0)^2,    dh = 2 max(h, 0) dout

So et al. 2021, https://arxiv.org/abs/2109.08668. One product and one rounding forward; backward doubling is exact, so
again one. In bfloat16 eager PyTorch rounds at the same places.
"""

from kernelsearch.spec import Axis, Entry, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes


def _per_element(count: float):  # type: ignore[no-untyped-def]
    def flops(sizes: Sizes, parameters: Parameters) -> float:
        return count * sizes["N"]

    return flops


TARGET = Target(
    name="relu2",
    summary="the squared positive part of every element",
    entries=(
        Entry(
            name="relu2",
            axes=(Axis("N"),),
            inputs=(TensorSpec("h", ("N",)),),
            outputs=(TensorSpec("activated", ("N",)),),
            gradients=("h",),
            forward_flops=_per_element(2.0),
            backward_flops=_per_element(3.0),
        ),
    ),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    sources=("https://arxiv.org/abs/2109.08668",),
)
