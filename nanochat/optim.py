"""Muon for the matrices of the transformer, AdamW for everything else.

The steps themselves are ops (`nanochat.ops.adamw_step`, `nanochat.muon.muon_step`); here is which parameter takes which
step at which rates. The trap: AdamW's eps is 1e-10, so its first step is the sign of the gradient, and rounding alone
flips near-zero entries.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nanochat.gpt import GPT
from nanochat.muon import POLAR_EXPRESS
from nanochat.ops import Ops
from nanochat.schedule import Schedule

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


class MuonAdamW(torch.optim.Optimizer):
    """Both optimizers over groups that name their `kind`; state keys are upstream's. Single process."""

    def __init__(self, groups: list[dict[str, Any]], ops: Ops, compute_dtype: torch.dtype) -> None:
        """compute_dtype bfloat16 runs Muon's products in bfloat16, any other in the parameters' dtype."""
        super().__init__(groups, defaults={})
        self.ops = ops
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
            self.ops.adamw_step(
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
        self.ops.muon_step(
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
    return MuonAdamW(groups, model.ops, model.compute_dtype)
