"""Training's call of the Muon step, put in the contract's terms: the second moment without its axis of length one."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def muon_step(
    kernel: Callable[..., None],
    params_KMN: Tensor,
    grads_KMN: Tensor,
    momentum_buffer: Tensor,
    second_moment: Tensor,
    *,
    lr: float,
    momentum: float,
    beta2: float,
    weight_decay: float,
    matmul_dtype: torch.dtype = torch.float32,
) -> None:
    """matmul_dtype allows narrower products; a kernel makes float32 ones. RuntimeError (`view`) if not contiguous."""
    rates = {"lr": lr, "momentum": momentum, "beta2": beta2, "weight_decay": weight_decay}
    kernel(params_KMN, grads_KMN, momentum_buffer, second_moment.view(len(params_KMN), -1), **rates)
