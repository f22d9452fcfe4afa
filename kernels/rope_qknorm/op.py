"""Training's call of rotary positions and qk-norm: it has the contract's terms already."""

from collections.abc import Callable

from torch import Tensor


def rope_qknorm(
    kernel: Callable[..., tuple[Tensor, Tensor]], q: Tensor, k: Tensor, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor]:
    return kernel(q, k, cos, sin)
