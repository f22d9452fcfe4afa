"""One step of Muon on a stack of matrices of one shape.

Muon replaces a matrix's momentum by its nearest semi-orthogonal matrix. The variant here equilibrates rows first
(MuonEq, https://arxiv.org/abs/2603.28254), iterates the Polar Express polynomials (https://arxiv.org/abs/2505.16932),
restores the Frobenius norm (Muon+, https://arxiv.org/abs/2602.21545), evens out the variance of neurons (NorMuon,
https://arxiv.org/abs/2510.05491) and decays only where update and weight agree in sign.

Axes: K matrices of one shape in a group, M rows (outputs), N columns (inputs).
"""

import torch
from torch import Tensor

POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


@torch.no_grad()
def orthogonalize(x_KMN: Tensor) -> Tensor:
    """Approximate polar factors U V^T, with singular values around 1, in the dtype of the input."""
    x = x_KMN / (x_KMN.norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-6)
    is_tall = x.size(-2) > x.size(-1)
    for a, b, c in POLAR_EXPRESS:
        gram = x.mT @ x if is_tall else x @ x.mT
        polynomial = b * gram + c * (gram @ gram)
        x = a * x + (x @ polynomial if is_tall else polynomial @ x)
    return x


def equilibrate_rows(x_KMN: Tensor) -> Tensor:
    """Scale every row to the root mean square of the row norms."""
    target = x_KMN.float().norm(dim=(-2, -1), keepdim=True) / x_KMN.size(-2) ** 0.5
    row_norm = x_KMN.float().norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return x_KMN * (target / row_norm).to(x_KMN.dtype)


def renormalize(x_KMN: Tensor) -> Tensor:
    """Scale to Frobenius norm sqrt(min(M, N)), that of an exactly semi-orthogonal matrix."""
    norm = x_KMN.float().norm(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    return x_KMN * (min(x_KMN.shape[-2:]) ** 0.5 / norm).to(x_KMN.dtype)


def even_out_variance(x_KMN: Tensor, second_moment: Tensor, beta2: float) -> Tensor:
    """Divide each row (M >= N) or column by its running root mean square, keeping the Frobenius norm.

    Updates second_moment, of shape (K, M, 1) or (K, 1, N) or any view of that, in place.
    """
    axis = -1 if x_KMN.size(-2) >= x_KMN.size(-1) else -2
    mean_square = x_KMN.float().square().mean(dim=axis, keepdim=True)
    second_moment = second_moment.view_as(mean_square)
    second_moment.lerp_(mean_square.to(second_moment.dtype), 1 - beta2)
    scale = second_moment.clamp_min(1e-10).rsqrt()
    size = x_KMN.size(axis)
    before = (mean_square.sum(dim=(-2, -1), keepdim=True) * size).sqrt()
    after = (mean_square * size * scale.float().square()).sum(dim=(-2, -1), keepdim=True).sqrt()
    return x_KMN * (scale * (before / after.clamp_min(1e-10))).to(x_KMN.dtype)


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
    """One Muon step in place on params, both state tensors and grads, which serves as scratch.

    `lr` already holds the shape's factor sqrt(max(1, M/N)); matmul_dtype is that of the polar iteration.
    """
    # Upstream holds its rates in float32 tensors; rounded alike, both take bitwise the same step.
    lr, momentum, beta2, weight_decay = torch.tensor([lr, momentum, beta2, weight_decay]).tolist()
    momentum_buffer.lerp_(grads_KMN, 1 - momentum)
    update = grads_KMN.lerp_(momentum_buffer, momentum).to(matmul_dtype)
    update = renormalize(orthogonalize(equilibrate_rows(update)).to(params_KMN.dtype))
    update = even_out_variance(update, second_moment, beta2)
    agrees = (update * params_KMN) >= 0
    params_KMN.sub_(lr * update + lr * weight_decay * params_KMN * agrees)
