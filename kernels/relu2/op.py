"""Training's call of the activation: it has the contract's terms already, every axis standing for the flat one."""

from collections.abc import Callable

from torch import Tensor


def relu2(kernel: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
    return kernel(h)
