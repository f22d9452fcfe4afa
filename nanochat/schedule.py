"""Learning rate, Muon momentum and weight decay as functions of the step; scaling of batch and rates with the horizon.

Steps count from 0. A short run must set its own warm-up: 40 steps of warm-up leave a 20-step run untrained.
"""

import math
from dataclasses import dataclass

REFERENCE_BATCH_TOKENS = 2**19  # where upstream tuned its rates, at depth 12
MOMENTUM_START, MOMENTUM_PEAK, MOMENTUM_END = 0.85, 0.97, 0.90


@dataclass(frozen=True)
class Schedule:
    """Shape of one training run over `iterations` optimizer steps."""

    iterations: int
    warmup_steps: int = 40
    warmdown_share: float = 0.65
    final_lr_share: float = 0.05
    momentum_steps: int = 400
    weight_decay: float = 0.0  # Muon's, at step 0

    @property
    def warmdown_steps(self) -> int:
        return round(self.warmdown_share * self.iterations)

    @property
    def warmdown_start(self) -> int:
        return self.iterations - self.warmdown_steps

    def lr_multiplier(self, step: int) -> float:
        """Linear warm-up, a plateau, then linear warm-down to final_lr_share at the last step and constant after it."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if step <= self.warmdown_start:
            return 1.0
        left = max(self.iterations - step, 0) / self.warmdown_steps
        return left + (1 - left) * self.final_lr_share

    def muon_momentum(self, step: int) -> float:
        """Linear rise over momentum_steps, which comes first; then the peak, and a linear fall in the warm-down."""
        if step < self.momentum_steps:
            return MOMENTUM_START + (MOMENTUM_PEAK - MOMENTUM_START) * step / self.momentum_steps
        if step < self.warmdown_start:
            return MOMENTUM_PEAK
        done = min((step - self.warmdown_start) / max(self.warmdown_steps, 1), 1.0)
        return MOMENTUM_PEAK + (MOMENTUM_END - MOMENTUM_PEAK) * done

    def muon_weight_decay(self, step: int) -> float:
        """Half a cosine from weight_decay to 0."""
        return self.weight_decay * 0.5 * (1 + math.cos(math.pi * min(step / self.iterations, 1.0)))


@dataclass(frozen=True)
class Horizon:
    """What upstream derives from a model's size: tokens to train on, tokens per step, and the scaled weight decay."""

    tokens: int
    batch_tokens: int
    iterations: int
    lr_scale: float
    weight_decay: float


def plan_horizon(
    scaling_params: int, reference_params: int, *, tokens_per_param: float = 12.0, weight_decay: float = 0.28
) -> Horizon:
    """Batch by the power law of https://arxiv.org/abs/2505.13738, rates by its square root, decay by a constant epoch.

    Both counts are transformer matrices plus lm_head; the reference is the depth-12 model.
    """
    tokens = int(tokens_per_param * scaling_params)
    reference_tokens = tokens_per_param * reference_params
    batch_tokens = 2 ** round(math.log2(REFERENCE_BATCH_TOKENS * (tokens / reference_tokens) ** 0.383))
    lr_scale = math.sqrt(batch_tokens / REFERENCE_BATCH_TOKENS)
    return Horizon(
        tokens=tokens,
        batch_tokens=batch_tokens,
        iterations=tokens // batch_tokens,
        lr_scale=lr_scale,
        weight_decay=weight_decay * lr_scale * reference_tokens / tokens,
    )
