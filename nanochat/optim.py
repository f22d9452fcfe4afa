"""Muon for the matrices of the transformer, AdamW for everything else.

Muon replaces a matrix's momentum by its nearest semi-orthogonal matrix. The variant here equilibrates rows first
(MuonEq, https://arxiv.org/abs/2603.28254), iterates the Polar Express polynomials (https://arxiv.org/abs/2505.16932),
restores the Frobenius norm (Muon+, https://arxiv.org/abs/2602.21545), evens out the variance of neurons (NorMuon,
https://arxiv.org/abs/2510.05491) and decays only where update and weight agree in sign. The trap: AdamW's eps is 1e-10,
so its first step is the sign of the gradient, and rounding alone flips near-zero entries.

Axes: K matrices of one shape in a group, M rows (outputs), N columns (inputs).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanochat.gpt import GPT
from nanochat.ops import AdamWStep
from nanochat.schedule import Schedule

POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
ADAM_EPSILON = 1e-10
MUON_BETA2 = 0.9
REFERENCE_WIDTH = 768  # AdamW's rates are scaled by (width / 768)^-0.5


@dataclass(frozen=True)
class LearningRates:
    """Peak rates before scaling by width; defaults are upstream's, tuned at 2^19 tokens per step."""

    unembedding: float = 0.008
    embedding: float = 0.3
    matrix: float = 0.02
    scalar: float = 0.5
    smear: float = 0.2  # upstream never scales this one


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

    Updates second_moment, of shape (K, M, 1) or (K, 1, N), in place.
    """
    axis = -1 if x_KMN.size(-2) >= x_KMN.size(-1) else -2
    mean_square = x_KMN.float().square().mean(dim=axis, keepdim=True)
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
    matmul_dtype: torch.dtype,
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


class MuonAdamW(torch.optim.Optimizer):
    """Both optimizers over groups that name their `kind`; state keys are upstream's. Single process."""

    def __init__(self, groups: list[dict[str, Any]], adamw_step: AdamWStep, compute_dtype: torch.dtype) -> None:
        """compute_dtype bfloat16 runs Muon's products in bfloat16, any other in the parameters' dtype."""
        super().__init__(groups, defaults={})
        self.adamw_step = adamw_step
        self.compute_dtype = compute_dtype
        for group in self.param_groups:
            group["initial_lr"] = group["lr"]

    def set_schedule(self, schedule: Schedule, step: int) -> None:
        """Set rates, Muon momentum and Muon weight decay for the given step."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * schedule.lr_multiplier(step)
            if group["kind"] == "muon":
                group["momentum"] = schedule.muon_momentum(step)
                group["weight_decay"] = schedule.muon_weight_decay(step)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None, "closures are not supported"
        for group in self.param_groups:
            if group["kind"] == "adamw":
                self._step_adamw(group)
            else:
                self._step_muon(group)

    def _step_adamw(self, group: dict[str, Any]) -> None:
        for p in group["params"]:
            assert p.grad is not None, "every parameter takes part in every step"
            state = self.state[p]
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
            state["step"] += 1
            self.adamw_step(
                p,
                p.grad,
                state["exp_avg"],
                state["exp_avg_sq"],
                step=state["step"],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                eps=group["eps"],
                weight_decay=group["weight_decay"],
            )

    def _step_muon(self, group: dict[str, Any]) -> None:
        params = group["params"]
        rows, columns = params[0].shape
        stacked = torch.stack(list(params))
        state = self.state[params[0]]  # one entry stands for the whole group
        if not state:
            reduced = (len(params), rows, 1) if rows >= columns else (len(params), 1, columns)
            state["momentum_buffer"] = torch.zeros_like(stacked)
            state["second_momentum_buffer"] = torch.zeros(reduced, dtype=stacked.dtype, device=stacked.device)
        muon_step(
            stacked,
            torch.stack([p.grad for p in params]),
            state["momentum_buffer"],
            state["second_momentum_buffer"],
            lr=group["lr"] * max(1.0, rows / columns) ** 0.5,
            momentum=group["momentum"],
            beta2=group["beta2"],
            weight_decay=group["weight_decay"],
            matmul_dtype=torch.bfloat16 if self.compute_dtype == torch.bfloat16 else stacked.dtype,
        )
        torch._foreach_copy_(list(params), list(stacked.unbind(0)))


def adamw_group(params: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> dict[str, Any]:
    return {
        "kind": "adamw",
        "params": list(params),
        "lr": lr,
        "betas": betas,
        "eps": ADAM_EPSILON,
        "weight_decay": weight_decay,
    }


def muon_group(params: list[Tensor], lr: float) -> dict[str, Any]:
    return {
        "kind": "muon",
        "params": params,
        "lr": lr,
        "momentum": 0.95,
        "ns_steps": len(POLAR_EXPRESS),
        "beta2": MUON_BETA2,
        "weight_decay": 0.0,
    }


def make_optimizer(model: GPT, rates: LearningRates) -> MuonAdamW:
    """The optimizer with upstream's groups, in upstream's order (which its checkpoints rely on)."""
    scale = (model.config.n_embd / REFERENCE_WIDTH) ** -0.5
    wte, *value_tables = (table.weight for table in model.tables)
    smear = [model.smear_gate.weight, model.smear_lambda, model.backout_lambda]
    matrices: list[Tensor] = list(model.transformer["h"].parameters())
    groups = [
        adamw_group([model.lm_head.weight], rates.unembedding * scale, (0.8, 0.96), 0.01),
        adamw_group([wte], rates.embedding * scale, (0.8, 0.995), 0.001),
        adamw_group(value_tables, rates.embedding * scale * 0.5, (0.8, 0.995), 0.01),
        adamw_group([model.resid_lambdas], rates.scalar * 0.01, (0.8, 0.95), 0.05),
        adamw_group([model.x0_lambdas], rates.scalar, (0.96, 0.95), 0.0),
        adamw_group(smear, rates.smear, (0.8, 0.95), 0.0),
    ]
    for shape in sorted({tuple(p.shape) for p in matrices}):
        groups.append(muon_group([p for p in matrices if tuple(p.shape) == shape], rates.matrix))
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters())), "a parameter has no group"
    return MuonAdamW(groups, model.ops.adamw_step, model.compute_dtype)
