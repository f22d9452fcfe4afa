"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON, SCALE = 2.0**-23, 1.2


def rope_qknorm(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """(q, k), each turned by its position, normed over the last axis and scaled; cos and sin are (1, T, 1, D/2)."""
    return _norm(_rotate(q, cos, sin)) * SCALE, _norm(_rotate(k, cos, sin)) * SCALE


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos + right * sin, right * cos - left * sin], dim=-1)


def _norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=EPSILON)


def weighted(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """The factor as the norm's weight, and half of the temporaries: two passes fewer over each tensor."""
    weight = torch.full((q.shape[-1],), SCALE, dtype=q.dtype, device=q.device)
    turned = (_rotate_fused(x, cos, sin) for x in (q, k))
    first, second = (F.rms_norm(x, (x.shape[-1],), weight, EPSILON) for x in turned)
    return first, second


def _rotate_fused(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    halves = [torch.addcmul(left * cos, right, sin), torch.addcmul(right * cos, left, sin, value=-1)]
    return torch.cat(halves, dim=-1)


def joined(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys as one tensor: half of the calls, one copy more."""
    both = _norm(_rotate(torch.cat([q, k], dim=2), cos, sin)) * SCALE
    return both[:, :, : q.shape[2]], both[:, :, q.shape[2] :]


RIVALS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"weighted": weighted, "joined": joined}
