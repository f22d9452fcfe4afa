"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 2.0**-23


def smear_embed(rows: Tensor, gate_weight: Tensor, smear_lambda: Tensor) -> Tensor:
    """rows (B, T, C), gate_weight (1, G), smear_lambda of one element; the gate is computed in rows.dtype."""
    x = F.rms_norm(rows, (rows.shape[-1],), eps=EPSILON)
    weight = gate_weight.to(x.dtype)
    gate = smear_lambda.to(x.dtype) * torch.sigmoid(F.linear(x[:, 1:, : weight.shape[1]], weight))
    return torch.cat([x[:, :1], x[:, 1:] + gate * x[:, :-1]], dim=1)


def padded(rows: Tensor, gate_weight: Tensor, smear_lambda: Tensor) -> Tensor:
    """A gate of zero for the first row and one fused product, instead of the concatenation."""
    x = F.rms_norm(rows, (rows.shape[-1],), eps=EPSILON)
    weight = gate_weight.to(x.dtype)
    gate = smear_lambda.to(x.dtype) * torch.sigmoid(F.linear(x[..., : weight.shape[1]], weight))
    return torch.addcmul(x, F.pad(gate[:, 1:], (0, 0, 1, 0)), x.roll(1, dims=1))


RIVALS: dict[str, Callable[..., Tensor]] = {"padded": padded}
