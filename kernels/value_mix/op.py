"""Training's call, in the contract's terms: leading axes are positions, the weights of the gate float32.

d mixed / d v is the identity, so the kernel is not asked for it: `_PassOn` hands the gradient of the result to v as it
is, without a copy.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LEADING = ("value_mix",)  # leading axes stand for the first


class _PassOn(torch.autograd.Function):
    """`mixed`, whose gradient is that of v and its own."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, mixed: Tensor) -> Tensor:
        return mixed.view_as(mixed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient


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
    if order is None:
        order = torch.arange(tokens.numel(), device=tokens.device)
    mixed = kernel(v.detach(), gate_input, gate_weight.float(), table, tokens, order)
    attached: Tensor = _PassOn.apply(v, mixed)  # type: ignore[no-untyped-call]
    return attached
