"""Training's call, in the contract's terms: rows of the last axis, a 0-dimensional float32 scalar."""

from collections.abc import Callable

from torch import Tensor


def backout_norm(kernel: Callable[..., Tensor], x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
    rows = [tensor.reshape(-1, x.shape[-1]) for tensor in (x, x_back)]
    return kernel(*rows, backout_lambda.float().reshape(())).view(x.shape)
