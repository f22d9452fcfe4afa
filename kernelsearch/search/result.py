"""What a study found: every trial, the best of all, and how far each proposer came with how many trials."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kernelsearch.search.proposer import REJECTED, Trial

Reason = Literal["budget", "exhausted", "diminished", "interrupted", "failed"]


@dataclass(frozen=True)
class Trajectory:
    """One proposer's way: after trial number `improvements[i][0]` of its own, its best low was `improvements[i][1]`."""

    proposer: str
    trials: int
    judged: int
    best: Trial | None
    improvements: tuple[tuple[int, float], ...]

    def best_low_at(self, trials: int) -> float | None:
        """The best lower end after its first `trials` trials; None while nothing had passed."""
        reached = [low for number, low in self.improvements if number <= trials]
        return reached[-1] if reached else None

    def as_json(self) -> dict[str, Any]:
        return {
            "proposer": self.proposer,
            "trials": self.trials,
            "judged": self.judged,
            "best": self.best.candidate.digest if self.best else None,
            "improvements": [list(pair) for pair in self.improvements],
        }


@dataclass(frozen=True)
class StudyResult:
    """The trials of one study in order, cached ones included. `best` prefers an accepted candidate to a faster one."""

    context: str
    trials: tuple[Trial, ...]
    trajectories: tuple[Trajectory, ...]
    seconds: float
    reason: Reason

    @property
    def is_interrupted(self) -> bool:
        return self.reason == "interrupted"

    @property
    def best(self) -> Trial | None:
        return best_of(self.trials)

    @property
    def statuses(self) -> dict[str, int]:
        return dict(Counter(str(trial.verdict.status) for trial in self.trials))

    @property
    def judged(self) -> int:
        """Trials that cost something: their verdict was not in the ledger."""
        return sum(not trial.is_cached for trial in self.trials)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score, an accepted one before any other; the earlier one of equals."""
    passed = [trial for trial in trials if trial.score > REJECTED]
    return max(passed, key=lambda trial: (trial.verdict.accepted, trial.score), default=None)


def trace(proposer: str, trials: Sequence[Trial]) -> Trajectory:
    """The trajectory of one proposer among all trials of a study."""
    own = [trial for trial in trials if trial.proposer == proposer]
    improvements: list[tuple[int, float]] = []
    for number, trial in enumerate(own, start=1):
        if trial.score > (improvements[-1][1] if improvements else REJECTED):
            improvements.append((number, trial.score))
    judged = sum(not trial.is_cached for trial in own)
    return Trajectory(proposer, len(own), judged, best_of(own), tuple(improvements))
