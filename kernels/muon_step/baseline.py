"""What eager PyTorch runs for this target, and the rivals. K matrices, M rows, N columns."""

from collections.abc import Callable

import torch
from torch import Tensor

POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalize(x_KMN: Tensor) -> Tensor:
    """Batched products and elementwise operators, as nanochat writes them."""
    x = x_KMN / (x_KMN.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-6)
    is_tall = x.size(-2) > x.size(-1)
    for a, b, c in POLAR_EXPRESS:
        gram = x.mT @ x if is_tall else x @ x.mT
        polynomial = b * gram + c * (gram @ gram)
        x = a * x + (x @ polynomial if is_tall else polynomial @ x)
    return x


def orthogonalize_fused(x_KMN: Tensor) -> Tensor:
    """Sums of a matrix and a product as one operator."""
    x = x_KMN / (x_KMN.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-6)
    is_tall = x.size(-2) > x.size(-1)
    for a, b, c in POLAR_EXPRESS:
        gram = x.mT @ x if is_tall else x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, polynomial, beta=a) if is_tall else torch.baddbmm(x, polynomial, x, beta=a)
    return x


@torch.no_grad()
def muon_step(
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
    """In place; grads serve as scratch. second_moment may have any shape of the right number of elements."""
    lr, momentum, beta2, weight_decay = torch.tensor([lr, momentum, beta2, weight_decay]).tolist()
    momentum_buffer.lerp_(grads_KMN, 1 - momentum)
    update = grads_KMN.lerp_(momentum_buffer, momentum).to(matmul_dtype)
    _finish(params_KMN, update, second_moment, lr, beta2, weight_decay, orthogonalize)


@torch.no_grad()
def muon_step_contract(
    params: Tensor,
    grads: Tensor,
    momentum_buffer: Tensor,
    second_moment: Tensor,
    *,
    lr: float,
    momentum: float,
    beta2: float,
    weight_decay: float,
) -> None:
    """Leaves the gradients as they are, at no cost: what is not written over them goes to a buffer that is reused."""
    lr, momentum, beta2, weight_decay = torch.tensor([lr, momentum, beta2, weight_decay]).tolist()
    momentum_buffer.lerp_(grads, 1 - momentum)
    update = grads.lerp(momentum_buffer, momentum)
    _finish(params, update, second_moment, lr, beta2, weight_decay, orthogonalize)


@torch.no_grad()
def fused_sums(
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
    """As `muon_step`, with baddbmm in the polar iteration."""
    lr, momentum, beta2, weight_decay = torch.tensor([lr, momentum, beta2, weight_decay]).tolist()
    momentum_buffer.lerp_(grads_KMN, 1 - momentum)
    update = grads_KMN.lerp_(momentum_buffer, momentum).to(matmul_dtype)
    _finish(params_KMN, update, second_moment, lr, beta2, weight_decay, orthogonalize_fused)


def _finish(
    params: Tensor,
    update: Tensor,
    second_moment: Tensor,
    lr: float,
    beta2: float,
    weight_decay: float,
    orthogonalize: Callable[[Tensor], Tensor],
) -> None:
    update = _renormalize(orthogonalize(_equilibrate_rows(update)).to(params.dtype))
    update = _even_out_variance(update, second_moment, beta2)
    agrees = (update * params) >= 0
    params.sub_(lr * update + lr * weight_decay * params * agrees)


def _equilibrate_rows(x: Tensor) -> Tensor:
    target = x.float().norm(dim=(-2, -1), keepdim=True) / x.size(-2) ** 0.5
    row_norm = x.float().norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return x * (target / row_norm).to(x.dtype)


def _renormalize(x: Tensor) -> Tensor:
    norm = x.float().norm(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    return x * (min(x.shape[-2:]) ** 0.5 / norm).to(x.dtype)


def _even_out_variance(x: Tensor, second_moment: Tensor, beta2: float) -> Tensor:
    axis = -1 if x.size(-2) >= x.size(-1) else -2
    mean_square = x.float().square().mean(dim=axis, keepdim=True)
    second_moment = second_moment.view_as(mean_square)
    second_moment.lerp_(mean_square.to(second_moment.dtype), 1 - beta2)
    scale = second_moment.clamp_min(1e-10).rsqrt()
    size = x.size(axis)
    before = (mean_square.sum(dim=(-2, -1), keepdim=True) * size).sqrt()
    after = (mean_square * size * scale.float().square()).sum(dim=(-2, -1), keepdim=True).sqrt()
    return x * (scale * (before / after.clamp_min(1e-10))).to(x.dtype)


RIVALS: dict[str, Callable[..., None]] = {"fused sums": fused_sums}
