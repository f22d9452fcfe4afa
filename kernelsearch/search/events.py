"""What a running study tells whoever watches it. `seconds` is the time since the study started."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelsearch.search.proposer import Trial
from kernelsearch.search.result import StudyResult
from kernelsearch.spec import Candidate


@dataclass(frozen=True)
class Budget:
    """When to stop: after `seconds` of this run, or after `trials` of all proposers together, cached ones included."""

    seconds: float | None = None
    trials: int | None = None

    def is_spent(self, seconds: float, trials: int) -> bool:
        out_of_time = self.seconds is not None and seconds >= self.seconds
        return out_of_time or (self.trials is not None and trials >= self.trials)


@dataclass(frozen=True)
class StudyStarted:
    context: Mapping[str, Any]
    proposers: tuple[str, ...]
    budget: Budget


@dataclass(frozen=True)
class TrialStarted:
    """`number` counts all trials of the study from 1."""

    number: int
    proposer: str
    candidate: Candidate
    seconds: float


@dataclass(frozen=True)
class TrialJudged:
    """`best` is the best trial so far, this one included."""

    number: int
    trial: Trial
    best: Trial | None
    seconds: float


@dataclass(frozen=True)
class CallStarted:
    """A model or an agent is asked, with a prompt of so many bytes. `number` counts the calls of its proposer."""

    number: int
    provider: str
    model: str
    prompt_bytes: int


@dataclass(frozen=True)
class CallEnded:
    """`tokens` and `cost` (USD) are None where nobody told them, `error` where an answer came."""

    number: int
    provider: str
    model: str
    tokens: Mapping[str, int] | None
    cost: float | None
    error: str | None
    seconds: float


@dataclass(frozen=True)
class StudyEnded:
    result: StudyResult


Event = StudyStarted | TrialStarted | TrialJudged | CallStarted | CallEnded | StudyEnded
