"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 2.0**-23


def rms_norm(x: Tensor) -> Tensor:
    """Over the last axis, no weight; float32 inside and one rounding."""
    return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)


def mix_norm(x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor) -> tuple[Tensor, Tensor]:
    """(mixed, normed). The lambdas are 0-dimensional float32, so products stay in x.dtype."""
    mixed = resid_lambda * x + x0_lambda * x0
    return mixed, rms_norm(mixed)


def addcmul(x: Tensor, x0: Tensor, resid_lambda: Tensor, x0_lambda: Tensor) -> tuple[Tensor, Tensor]:
    """One temporary less in the mix."""
    mixed = torch.addcmul(resid_lambda * x, x0, x0_lambda.to(x.dtype))
    return mixed, rms_norm(mixed)


RIVALS: dict[str, Callable[..., Any]] = {"addcmul": addcmul}
