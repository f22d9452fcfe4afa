"""Training's call of the activation, put in the contract's terms: one flat axis."""

from collections.abc import Callable

from torch import Tensor


def relu2(kernel: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
    return kernel(h.reshape(-1)).view(h.shape)
