"""The rule that decides "equal": errors in units of the operation's own conditioning.

Scaled error of element i:   e_i = |y_i - o_i| / (u_out |o_i| + u_acc c_i + tiny)

with o the float64 oracle, u_out the unit roundoff of the output's dtype, u_acc that of the accumulator the recipe
allows, and c_i the condition magnitude (the operation evaluated with absolute values; Higham and Mary 2018 give the
probabilistic growth sqrt(n), which holds while roundings are independent; where values repeat they are alike, and the
growth is n). Both the largest and the root-mean-square e must stay near those of an honest kernel:
the largest is noisy, the mean separates a downcast from a reordering by orders of magnitude.
"""

from dataclasses import dataclass
from math import hypot, sqrt

import torch
from torch import Tensor

from kernelsearch.spec.target import UNIT_ROUNDOFF

TINY = 2.0**-126


@dataclass(frozen=True)
class Rule:
    """Factors over the baseline's own error, and floors that grow with the square root of the number of terms."""

    max_over_baseline: float = 4.0
    max_floor: float = 4.0
    max_per_growth: float = 1.0
    rms_over_baseline: float = 2.0
    rms_floor: float = 0.5
    rms_per_growth: float = 0.15


RULE = Rule()
# Regimes of inputs.py in which the terms of a sum repeat, so that their roundings all go the same way.
REPEATING = ("constant", "ties")


@dataclass(frozen=True)
class Errors:
    """Largest and root-mean-square scaled error."""

    largest: float
    rms: float


def find_difference(
    y: Tensor,
    oracle: Tensor,
    magnitude: Tensor,
    baseline: Tensor,
    terms: int,
    accumulator: float,
    regime: str = "normal",
) -> str | None:
    """None if `y` is as good as the rule asks; else what is wrong, as one clause."""
    if y.dtype != baseline.dtype or y.shape != oracle.shape:
        return f"is {tuple(y.shape)} {y.dtype}, not {tuple(oracle.shape)} {baseline.dtype}"
    if not torch.equal(_pattern(y), _pattern(oracle.to(y.dtype))):
        return "has NaN or infinity in other places than the exact result"
    ours = scaled_errors(y, oracle, magnitude, accumulator)
    theirs = scaled_errors(baseline, oracle, magnitude, accumulator)
    growth = terms if regime in REPEATING else sqrt(terms)
    max_floor = RULE.max_floor + RULE.max_per_growth * growth
    rms_floor = RULE.rms_floor + RULE.rms_per_growth * growth
    largest = max(RULE.max_over_baseline * theirs.largest, max_floor)
    # Few elements have no reliable mean: one of them may be as far off as the largest may.
    rms = max(RULE.rms_over_baseline * theirs.rms, hypot(rms_floor, max_floor / sqrt(max(y.numel(), 1))))
    # not (error <= bound): written this way so that NaN fails.
    if not ours.largest <= largest:
        return "has an element further from the exact result than rounding explains"
    if not ours.rms <= rms:
        return "is less precise as a whole than rounding explains"
    return None


def scaled_errors(y: Tensor, oracle: Tensor, magnitude: Tensor, accumulator: float) -> Errors:
    finite = torch.isfinite(oracle) & torch.isfinite(y)
    if y.numel() == 0 or not bool(finite.any()):
        return Errors(0.0, 0.0)
    unit = UNIT_ROUNDOFF[str(y.dtype).removeprefix("torch.")]
    scale = oracle.abs().mul(unit).add_(magnitude, alpha=accumulator).add_(TINY)
    error = y.double().sub_(oracle).abs_().div_(scale)
    error = torch.where(finite, error, torch.zeros_like(error))
    return Errors(float(error.max()), float(error.square().mean().sqrt()))


def _pattern(x: Tensor) -> Tensor:
    """0 finite, 1 NaN, 2 and 3 the infinities."""
    return x.isnan().to(torch.int8) + 2 * x.isposinf().to(torch.int8) + 3 * x.isneginf().to(torch.int8)
