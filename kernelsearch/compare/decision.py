"""From several meetings of two kernels to one answer.

A meeting is a pair of fresh processes and its paired rounds. Its interval covers the noise from round to round, not the
luck that a process keeps for life (where its pages lie, which core its threads sit on): identical kernels differed by
up to 1% in one of twenty meetings (AMD EPYC, 2026-11-23, bench/results, scorecard). So at least two meetings with fresh
processes and exchanged roles have to agree, and what counts is the hull of a majority of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from kernelsearch.timing.statistics import MINIMUM_EFFECT

TOLERANCE = 0.025
"""Half of 5%, the smallest slowdown that the gate promises to find: 0 and 5% are equally far from it."""

LEAST_MEETINGS = 2


class Outcome(StrEnum):
    FASTER = "faster"
    EQUAL = "equal"
    NOT_SLOWER = "not slower"
    SLIGHTLY_SLOWER = "slower within tolerance"
    SLOWER = "slower"
    NOISY = "too noisy"


@dataclass(frozen=True)
class Meeting:
    """What one pair of processes showed: time of the new kernel over time of the old one, with its 95% interval.

    `noise` is what the A/A control of the same rounds could not tell apart; `distance` how far the outputs were apart.
    """

    ratio: float
    low: float
    high: float
    noise: float
    rounds: int
    base_us: float
    head_us: float
    is_quiet: bool
    distance: float = 0.0


@dataclass(frozen=True)
class Decision:
    """`ratio` and its hull [low, high] are times of the new kernel over the old; None where no meeting was quiet."""

    outcome: Outcome
    tolerance: float
    meetings: tuple[Meeting, ...]
    ratio: float | None
    low: float | None
    high: float | None

    @property
    def noise(self) -> float | None:
        """The largest difference that the A/A controls of the quiet meetings could not tell apart."""
        return max((meeting.noise for meeting in self.meetings if meeting.is_quiet), default=None)

    @property
    def sentence(self) -> str:
        """The answer as one phrase, such as "slower by 4.1-5.3%"."""
        if self.low is None or self.high is None:
            return f"too noisy to tell: other programs used the cores in each of {len(self.meetings)} meetings"
        within = max(abs(self.low - 1), abs(self.high - 1))
        phrases = {
            Outcome.FASTER: f"faster by {_span(1 / self.high - 1, 1 / self.low - 1)}",
            Outcome.EQUAL: f"equal within {within:.1%}",
            Outcome.NOT_SLOWER: f"not slower: between {_side(self.low)} and {_side(self.high)}",
            Outcome.SLIGHTLY_SLOWER: f"slower by {_span(self.low - 1, self.high - 1)}, "
            f"within the tolerance of {self.tolerance:.1%}",
            Outcome.SLOWER: f"slower by {_span(self.low - 1, self.high - 1)}",
            Outcome.NOISY: f"too noisy to tell: between {_side(self.low)} and {_side(self.high)}, "
            f"in {len(self.meetings)} meetings",
        }
        return phrases[self.outcome]


def decide(meetings: Sequence[Meeting], tolerance: float) -> Decision:
    """The answer of these meetings; NOISY where it needs more of them."""
    quiet = [meeting for meeting in meetings if meeting.is_quiet]
    if not quiet:
        return Decision(Outcome.NOISY, tolerance, tuple(meetings), None, None, None)
    agreeing = majority(quiet)
    low, high = min(m.low for m in agreeing), max(m.high for m in agreeing)
    outcome = Outcome.NOISY
    if len(quiet) >= LEAST_MEETINGS:
        outcome = _outcome(low, high, tolerance, max(m.noise for m in agreeing))
    return Decision(outcome, tolerance, tuple(meetings), median(m.ratio for m in agreeing), low, high)


def majority(meetings: Sequence[Meeting]) -> list[Meeting]:
    """More than half of the meetings, those nearest to the middle one."""
    middle = median(meeting.ratio for meeting in meetings)
    return sorted(meetings, key=lambda meeting: abs(meeting.ratio - middle))[: len(meetings) // 2 + 1]


def _outcome(low: float, high: float, tolerance: float, noise: float) -> Outcome:
    least = 1.0 + max(MINIMUM_EFFECT, noise)
    if low > 1.0 + tolerance:
        return Outcome.SLOWER
    if high > 1.0 + tolerance:
        return Outcome.NOISY
    if high < 1.0 / least:
        return Outcome.FASTER
    if low > least:
        return Outcome.SLIGHTLY_SLOWER
    return Outcome.EQUAL if low >= 1.0 / (1.0 + tolerance) else Outcome.NOT_SLOWER


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f}-{100 * high:.1f}%"


def _side(ratio: float) -> str:
    return f"{ratio - 1:.1%} slower" if ratio >= 1 else f"{1 / ratio - 1:.1%} faster"
