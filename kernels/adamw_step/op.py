"""Training's call of the optimizer step, put in the contract's terms: flat views, updated in place."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def adamw_step(
    kernel: Callable[..., None],
    p: Tensor,
    g: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Raises RuntimeError (from `view`) if p or a moment is not contiguous: a copy would lose the update."""
    rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    kernel(p.view(-1), g.contiguous().view(-1), exp_avg.view(-1), exp_avg_sq.view(-1), step=step, **rates)
