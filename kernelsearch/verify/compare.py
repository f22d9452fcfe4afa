"""The rule that decides "equal": errors in units of what the contract's precision policy leaves open.

    unit of element i   s_i = u_out |o_i| + u_store d_i + g u_acc c_i + 2^-126
    scaled error        e_i = |y_i - o_i| / s_i

with o the float64 oracle; u_out, u_store and u_acc the unit roundoffs of the output, of the storage dtype and of the
accumulator; c the condition magnitude (the operation with every term positive); d the magnitude of the intermediates
that the policy lets a kernel round to storage; g = 1 + 3/4 sqrt(n) the growth of n roundings that do not depend on each
other (Higham and Mary 2018), or 1 + 3/4 n where the terms of a sum repeat and round alike.

The largest e is noisy; the root mean square separates a downcast from a reordering by orders of magnitude. Rounding o
itself to the output's dtype is what every kernel must do, so the mean allows just that and a share of the rest. The
baseline's own error plays no part: a baseline that is less precise than the policy excuses nobody. docs/numerics.md

Integers have no rounding: they are right or wrong, and the magnitudes play no part.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kernelsearch.spec.target import UNIT_ROUNDOFF

TINY = 2.0**-126


@dataclass(frozen=True)
class Rule:
    """Limits of the scaled error: the largest, and the mean beyond the rounding of the result itself."""

    largest: float = 3.0
    rms: float = 0.5
    # A mean square of roundings varies from draw to draw, and a double rounding of the result is 2 to 1 (tests/verify).
    rms_of_rounding: float = 1.15
    # Standard errors of the mean by which roundings may lean one way; accumulation may lean as far as its own share.
    bias: float = 6.0


RULE = Rule()


@dataclass(frozen=True)
class Answer:
    """What is right for one output or gradient in `dtype`, and what its contract leaves open.

    `condition` is the magnitude c, `stored` the magnitude d (None: nothing may be stored), `terms` the number n of
    roundings on an element's way, `is_repeating` whether they may all go the same way; `accumulator` and `storage` are
    the unit roundoffs u_acc and u_store. `is_benign`: values drawn independently, so that roundings average out.
    `has_leaning_rows`: one stored number may move a whole row (last axis), or one number scale what is stored of it.
    """

    exact: Tensor
    condition: Tensor
    dtype: torch.dtype
    terms: int
    accumulator: float
    storage: float
    stored: Tensor | None = None
    is_repeating: bool = False
    is_benign: bool = False
    has_leaning_rows: bool = False

    @property
    def growth(self) -> float:
        return 1 + 0.75 * (self.terms if self.is_repeating else sqrt(self.terms))


@dataclass(frozen=True)
class Errors:
    """Largest, root-mean-square and mean signed scaled error, and what the last two may be."""

    largest: float
    rms: float
    allowed_rms: float
    bias: float
    allowed_bias: float


def find_difference(y: Tensor, answer: Answer) -> str | None:
    """None if `y` is as good as the rule asks; else what is wrong, as one clause."""
    exact = answer.exact
    if y.dtype != answer.dtype or y.shape != exact.shape:
        return f"is {tuple(y.shape)} {y.dtype}, not {tuple(exact.shape)} {answer.dtype}"
    if not y.is_floating_point():
        return None if torch.equal(y, exact) else "is not the exact integers"
    if not torch.equal(_pattern(y), _pattern(exact.to(y.dtype))):
        return "has NaN or infinity in other places than the exact result"
    errors = scaled_errors(y, answer)
    # not (error <= limit): written this way so that NaN fails.
    if not errors.largest <= RULE.largest:
        return "has an element further from the exact result than rounding explains"
    if not errors.rms <= errors.allowed_rms:
        return "is less precise as a whole than rounding explains"
    if answer.is_benign and not errors.bias <= errors.allowed_bias:
        return "leans one way as a whole, which rounding does not"
    return None


def scaled_errors(y: Tensor, answer: Answer) -> Errors:
    finite = torch.isfinite(answer.exact) & torch.isfinite(y)
    count = int(finite.sum())
    if count == 0:
        return Errors(0.0, 0.0, RULE.largest, 0.0, RULE.largest)
    unit = UNIT_ROUNDOFF[str(y.dtype).removeprefix("torch.")]
    exact = answer.exact[finite]
    accumulated = answer.condition[finite] * (answer.growth * answer.accumulator) + TINY
    stored = torch.zeros_like(exact) if answer.stored is None else answer.stored[finite] * answer.storage
    scale = exact.abs().mul_(unit).add_(accumulated).add_(stored)
    nearest = exact.to(y.dtype).double()
    values = y[finite].double()
    error = (values - exact).div_(scale)
    allowed = RULE.rms_of_rounding**2 * _mean_square((nearest - exact).div_(scale))
    share = _share_of_stored(answer)
    allowed += _mean_square((share * stored + RULE.rms * accumulated) / scale)
    # Few values have no reliable mean: one of them may be as far off as the largest may.
    bias, allowed_bias = _lean(answer, finite, values - nearest, accumulated, scale) if answer.is_benign else (0.0, 0.0)
    return Errors(
        largest=float(error.abs().max()),
        rms=sqrt(_mean_square(error)),
        allowed_rms=sqrt(allowed + RULE.largest**2 / _distinct(exact)),
        bias=bias,
        allowed_bias=allowed_bias,
    )


def _share_of_stored(answer: Answer) -> float:
    """The share of its unit that a stored number may be off by in the mean of squares.

    One number stored many times may be off by its whole unit, each time alike: 1/255 is, in bfloat16. So may one that
    moves a row; of n rows the mean square, 1/3 where roundings are uniform, varies by 0.3 / sqrt(n).
    """
    if answer.is_repeating:
        return 1.0
    if not answer.has_leaning_rows:
        return RULE.rms
    rows = answer.exact.numel() / answer.exact.shape[-1]
    return sqrt(min(1.0, RULE.rms**2 + RULE.bias * 0.3 / sqrt(rows)))


def _lean(answer: Answer, finite: Tensor, distance: Tensor, accumulated: Tensor, scale: Tensor) -> tuple[float, float]:
    """How far results lean away from zero or towards it, and how far they may; a zero leans neither way.

    `distance` is from o rounded, not o: x * 1.0003 is x again in bfloat16 whatever x is, and leans as far as rounding
    can.
    """
    exact = answer.exact[finite]
    signed = exact != 0
    if not signed.any():
        return 0.0, 0.0
    lean = distance.mul_(exact.sign()).div_(scale)
    values = lean[signed]
    variance = _mean_square(values) / _distinct(exact[signed])
    if answer.has_leaning_rows:
        rows = torch.zeros_like(answer.exact).masked_scatter_(finite, lean).flatten(0, -2)
        means = rows[answer.exact.flatten(0, -2).ne(0).any(-1)].mean(dim=-1)
        variance = max(variance, _mean_square(means) / len(means))
    allowed = RULE.rms * float((accumulated / scale)[signed].mean()) + RULE.bias * sqrt(variance)
    return abs(float(values.mean())), allowed


def _distinct(exact: Tensor) -> float:
    """How many values of equal weight would repeat as often: equal values are rounded alike, hence count once.

    Values that agree in bfloat16 are taken as equal, which needs no sorting.
    """
    counts = torch.bincount(exact.bfloat16().abs().view(torch.int16).int()).double()
    return exact.numel() ** 2 / float(counts.square().sum())


def _mean_square(x: Tensor) -> float:
    return float(x.square().mean())


def _pattern(x: Tensor) -> Tensor:
    """0 finite, 1 NaN, 2 and 3 the infinities."""
    return x.isnan().to(torch.int8) + 2 * x.isposinf().to(torch.int8) + 3 * x.isneginf().to(torch.int8)
