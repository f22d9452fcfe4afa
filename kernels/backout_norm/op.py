"""Training's call, in the contract's terms: leading axes are rows, the scalar is 0-dimensional and float32."""

from collections.abc import Callable

import torch
from torch import Tensor

LEADING = ("backout_norm",)  # leading axes stand for the first


def backout_norm(kernel: Callable[..., Tensor], x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
    is_ready = backout_lambda.dim() == 0 and backout_lambda.dtype is torch.float32
    return kernel(x, x_back, backout_lambda if is_ready else backout_lambda.float().reshape(()))
