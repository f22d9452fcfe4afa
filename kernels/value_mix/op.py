"""Training's call, in the contract's terms: flat positions, float32 weights of the gate.

d mixed / d v is the identity, so the kernel is not asked for it: `_PassOn` hands the gradient of the result to v as it
is, without a copy.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _PassOn(torch.autograd.Function):
    """`mixed` in the shape of v; its gradient is that of v and that of mixed."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, mixed: Tensor) -> Tensor:
        ctx.shape = mixed.shape
        return mixed.view(v.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.reshape(ctx.shape)


def value_mix(
    kernel: Callable[..., Tensor],
    v: Tensor,
    gate_input: Tensor,
    gate_weight: Tensor,
    table: Tensor,
    tokens: Tensor,
    order: Tensor | None,
) -> Tensor:
    """Without an order the kernel gets none that is right, and sorts by itself if it needs to."""
    heads, width = v.shape[-2:]
    flat = tokens.reshape(-1)
    mixed = kernel(
        v.detach().reshape(-1, heads, width),
        gate_input.reshape(-1, gate_input.shape[-1]),
        gate_weight.float(),
        table,
        flat,
        torch.arange(flat.numel(), device=flat.device) if order is None else order,
    )
    attached: Tensor = _PassOn.apply(v, mixed)  # type: ignore[no-untyped-call]
    return attached
