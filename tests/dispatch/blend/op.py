"""Training arguments to kernel arguments."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

LEADING = ("blend",)


def blend(
    kernel: Callable[..., Any], x: Tensor, y: Tensor, index: Tensor, scale: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    product, total = kernel(x, y, index, scale=scale)
    return product, total


def nudge(kernel: Callable[..., Any], p: Tensor, g: Tensor, m: Tensor, *, step: int, lr: float) -> None:
    kernel(p, g, m, step=step, lr=lr)
