"""What eager PyTorch runs for this target, and the rivals. Also the fallback, differentiable by torch autograd.

Only the kernels and the rivals need an order: eager's backward of a look-up takes the tokens as they come.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def token_order(tokens: Tensor, vocab_size: int) -> Tensor:
    """Flat positions sorted by token, equal tokens as they come."""
    return torch.argsort(tokens.flatten(), stable=True)


def embedding(table: Tensor, tokens: Tensor, order: Tensor | None) -> Tensor:
    """(..., C) for tokens (...)."""
    return F.embedding(tokens, table)


class _IndexAdd(torch.autograd.Function):
    """Zeros, then every gradient added to its row."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.shape = table.shape
        return F.embedding(tokens, table)

    @staticmethod
    def backward(ctx: Any, drows: Tensor) -> tuple[Tensor, None]:
        (tokens,) = ctx.saved_tensors
        return drows.new_zeros(ctx.shape).index_add_(0, tokens.flatten(), drows.reshape(-1, drows.shape[-1])), None


class _Bags(torch.autograd.Function):
    """Every row of the gradient is a bag of the sorted ones, added by `embedding_bag`."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, order)
        ctx.n_rows = len(table)
        return F.embedding(tokens, table)

    @staticmethod
    def backward(ctx: Any, drows: Tensor) -> tuple[Tensor, None, None]:
        tokens, order = ctx.saved_tensors
        counts = torch.bincount(tokens.flatten(), minlength=ctx.n_rows)
        starts = counts.cumsum(0) - counts
        return F.embedding_bag(order, drows.reshape(-1, drows.shape[-1]), starts, mode="sum"), None, None


class _Segments(torch.autograd.Function):
    """The sorted gradients, added by `segment_reduce`."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(tokens, order)
        ctx.n_rows = len(table)
        return F.embedding(tokens, table)

    @staticmethod
    def backward(ctx: Any, drows: Tensor) -> tuple[Tensor, None, None]:
        tokens, order = ctx.saved_tensors
        counts = torch.bincount(tokens.flatten(), minlength=ctx.n_rows)
        flat = drows.reshape(-1, drows.shape[-1])
        return torch.segment_reduce(flat[order], "sum", lengths=counts, initial=0.0), None, None


def index_add(table: Tensor, tokens: Tensor, order: Tensor | None) -> Tensor:
    found: Tensor = _IndexAdd.apply(table, tokens)
    return found


def embedding_bag(table: Tensor, tokens: Tensor, order: Tensor) -> Tensor:
    found: Tensor = _Bags.apply(table, tokens, order)
    return found


def segment_reduce(table: Tensor, tokens: Tensor, order: Tensor) -> Tensor:
    found: Tensor = _Segments.apply(table, tokens, order)
    return found


def radix(tokens: Tensor, vocab_size: int) -> Tensor:
    """Keys of 16 bits where they fit, which numpy sorts by radix."""
    narrow = tokens.flatten().numpy().astype("uint16" if vocab_size <= 2**16 else "int64")
    return torch.from_numpy(narrow.argsort(kind="stable"))


RIVALS: dict[str, Callable[..., Tensor]] = {
    "index_add": index_add,
    "embedding_bag": embedding_bag,
    "segment_reduce": segment_reduce,
    "radix": radix,
}
