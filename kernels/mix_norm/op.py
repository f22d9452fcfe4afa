"""Training's calls of the norms, in the contract's terms: leading axes are rows, scalars 0-dimensional and float32."""

from collections.abc import Callable

import torch
from torch import Tensor

LEADING = ("rms_norm", "mix_norm")  # leading axes stand for the first


def rms_norm(kernel: Callable[..., Tensor], x: Tensor) -> Tensor:
    return kernel(x)


def mix_norm(
    kernel: Callable[..., tuple[Tensor, Tensor]], x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor
) -> tuple[Tensor, Tensor]:
    mixed, normed = kernel(x, x0, _scalar(resid_lambda), _scalar(x0_lambda))
    return mixed, normed


def _scalar(tensor: Tensor) -> Tensor:
    is_ready = tensor.dim() == 0 and tensor.dtype is torch.float32
    return tensor if is_ready else tensor.float().reshape(())
