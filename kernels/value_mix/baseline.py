"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd.

Eager's backward of a look-up takes the tokens as they come, so it ignores the order.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

PEAK = 3.0


def value_mix(
    v: Tensor, gate_input: Tensor, gate_weight: Tensor, table: Tensor, tokens: Tensor, order: Tensor | None
) -> Tensor:
    """v (..., K, D), gate_input (..., G), gate_weight (K, G), table (V, K*D), tokens (...)."""
    gate = PEAK * torch.sigmoid(F.linear(gate_input, gate_weight.to(gate_input.dtype)))
    values = F.embedding(tokens, table).to(v.dtype)
    return v + gate.unsqueeze(-1) * values.view_as(v)


def addcmul(
    v: Tensor, gate_input: Tensor, gate_weight: Tensor, table: Tensor, tokens: Tensor, order: Tensor | None
) -> Tensor:
    """One temporary less in the mix."""
    gate = torch.sigmoid(F.linear(gate_input, gate_weight.to(gate_input.dtype))).unsqueeze(-1)
    values = F.embedding(tokens, table).to(v.dtype)
    return torch.addcmul(v, gate, values.view_as(v), value=PEAK)


class _IndexAdd(torch.autograd.Function):
    """A look-up whose backward adds into zeros."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.shape = table.shape
        return F.embedding(tokens, table)

    @staticmethod
    def backward(ctx: Any, drows: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        return drows.new_zeros(ctx.shape).index_add_(0, tokens.flatten(), drows.reshape(-1, drows.shape[-1])), None


def index_add(
    v: Tensor, gate_input: Tensor, gate_weight: Tensor, table: Tensor, tokens: Tensor, order: Tensor | None
) -> Tensor:
    gate = torch.sigmoid(F.linear(gate_input, gate_weight.to(gate_input.dtype))).unsqueeze(-1)
    values = _IndexAdd.apply(table, tokens).to(v.dtype)
    return torch.addcmul(v, gate, values.view_as(v), value=PEAK)


RIVALS: dict[str, Callable[..., Tensor]] = {"addcmul": addcmul, "index_add": index_add}
