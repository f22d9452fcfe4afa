"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 2.0**-23


def backout_norm(x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
    """rms_norm(x - backout_lambda * x_back); backout_lambda has one element."""
    return F.rms_norm(x - backout_lambda.to(x.dtype) * x_back, (x.shape[-1],), eps=EPSILON)


def addcmul(x: Tensor, x_back: Tensor, backout_lambda: Tensor) -> Tensor:
    """One temporary less in the difference."""
    rest = torch.addcmul(x, x_back, backout_lambda.to(x.dtype), value=-1)
    return F.rms_norm(rest, (x.shape[-1],), eps=EPSILON)


RIVALS: dict[str, Callable[..., Tensor]] = {"addcmul": addcmul}
