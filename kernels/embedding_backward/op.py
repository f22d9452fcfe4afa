"""Training's look-up and token order, in the contract's terms: every axis of the tokens stands for the flat one."""

from collections.abc import Callable

import torch
from torch import Tensor

LEADING = ("embedding",)  # leading axes stand for the first


def token_order(kernel: Callable[..., Tensor], tokens: Tensor, vocab_size: int) -> Tensor:
    return kernel(tokens.reshape(-1), vocab_size=vocab_size)


def embedding(kernel: Callable[..., Tensor], table: Tensor, tokens: Tensor, order: Tensor | None) -> Tensor:
    """Without an order the tokens are sorted here, which costs what the caller could have shared between tables."""
    return kernel(table, tokens, torch.argsort(tokens.flatten(), stable=True) if order is None else order)
