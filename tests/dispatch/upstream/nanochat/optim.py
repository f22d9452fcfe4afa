"""Optimizer steps of the stand-in: upstream's signatures, the shortest arithmetic that trains."""

import torch

from nanochat.common import COMPUTE_DTYPE  # noqa: F401

polar_express_coeffs = [(1.5, -0.5, 0.0)] * 5


def adamw_step_fused(p, grad, exp_avg, exp_avg_sq, step_t, lr_t, beta1_t, beta2_t, eps_t, wd_t):
    p.mul_(1 - lr_t * wd_t)
    exp_avg.lerp_(grad, 1 - beta1_t)
    exp_avg_sq.lerp_(grad.square(), 1 - beta2_t)
    root = (exp_avg_sq / (1 - beta2_t**step_t)).sqrt() + eps_t
    p.sub_(lr_t / (1 - beta1_t**step_t) * exp_avg / root)


def muon_step_fused(
    stacked_grads, stacked_params, momentum_buffer, second_momentum_buffer, momentum_t, lr_t, wd_t, beta2_t, ns_steps,
    red_dim,
):  # fmt: skip
    momentum_buffer.lerp_(stacked_grads, 1 - momentum_t)
    x = stacked_grads.lerp_(momentum_buffer, momentum_t)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-6)
    for a, b, _ in polar_express_coeffs[:ns_steps]:
        x = a * x + b * (x @ x.mT @ x)
    second_momentum_buffer.lerp_(x.square().mean(dim=red_dim, keepdim=True), 1 - beta2_t)
    stacked_params.sub_(lr_t * (x + wd_t * stacked_params))


class Optimizer:
    """AdamW for the embeddings and scalars, Muon for the matrices of the blocks."""

    def __init__(self, model):
        matrices = list(model.transformer.h.parameters())
        self.stacks = [[p for p in matrices if p.shape == shape] for shape in sorted({p.shape for p in matrices})]
        self.others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
        self.state = {}
        self.steps = 0

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for p in self.others:
            m, v = self.state.setdefault(p, (torch.zeros_like(p), torch.zeros_like(p)))
            rates = (float(self.steps), 0.01, 0.8, 0.95, 1e-10, 0.01)
            adamw_step_fused(p, p.grad, m, v, *map(torch.tensor, rates))
        for stack in self.stacks:
            params, axis = torch.stack(stack), -1 if stack[0].size(0) >= stack[0].size(1) else -2
            if stack[0] not in self.state:
                self.state[stack[0]] = torch.zeros_like(params), params.mean(dim=axis, keepdim=True) * 0
            rates = map(torch.tensor, (0.9, 0.02, 0.1, 0.9))
            grads = torch.stack([p.grad for p in stack])
            muon_step_fused(grads, params, *self.state[stack[0]], *rates, 5, axis)
            torch._foreach_copy_(stack, list(params.unbind(0)))
        for p in (*self.others, *(p for stack in self.stacks for p in stack)):
            p.grad = None
