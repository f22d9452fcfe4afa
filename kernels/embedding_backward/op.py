"""Training's look-up and token order, put in the contract's terms: flat tokens, rows in the shape of the tokens."""

from collections.abc import Callable

import torch
from torch import Tensor


def token_order(kernel: Callable[..., Tensor], tokens: Tensor, vocab_size: int) -> Tensor:
    return kernel(tokens.reshape(-1), vocab_size=vocab_size)


def embedding(kernel: Callable[..., Tensor], table: Tensor, tokens: Tensor, order: Tensor | None) -> Tensor:
    """Without an order the tokens are sorted here, which costs what the caller could have shared between tables."""
    flat = tokens.reshape(-1)
    rows = kernel(table, flat, torch.argsort(flat, stable=True) if order is None else order)
    return rows.view(*tokens.shape, table.shape[1])
