"""What eager PyTorch runs for this target, and the rivals."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def adamw_step(
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
    """Stock operators with one temporary, both bias corrections folded into scalars; float32 inside."""
    if p.dtype != torch.float32:
        wide = [tensor.float() for tensor in (p, exp_avg, exp_avg_sq)]
        rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        adamw_step(wide[0], g.float(), wide[1], wide[2], step=step, **rates)
        for narrow, value in zip((p, exp_avg, exp_avg_sq), wide, strict=True):
            narrow.copy_(value)
        return
    root_bias2 = (1 - beta2**step) ** 0.5
    p.mul_(1 - lr * weight_decay)
    exp_avg.lerp_(g, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().add_(eps * root_bias2)
    p.addcdiv_(exp_avg, denominator, value=-lr * root_bias2 / (1 - beta1**step))


def adamw_step_contract(p: Tensor, g: Tensor, m: Tensor, v: Tensor, *, step: int, **rates: float) -> None:
    """With the float32 numbers that a kernel receives: 1 - 0.995 differs by 1e-6 between float32 and float64."""
    rounded = torch.tensor(list(rates.values()), dtype=torch.float32).tolist()
    adamw_step(p, g, m, v, step=step, **dict(zip(rates, rounded, strict=True)))


@torch.no_grad()
def fused(
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
    """torch.optim.AdamW(fused=True) without its bookkeeping."""
    torch._fused_adamw_(
        [p],
        [g],
        [exp_avg],
        [exp_avg_sq],
        [],
        [torch.tensor(float(step))],
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


RIVALS: dict[str, Callable[..., None]] = {"fused": fused}
