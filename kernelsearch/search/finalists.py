"""Which of a study's trials are worth judging again from scratch."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelsearch.search.proposer import Trial

FINALISTS = 3


@dataclass(frozen=True)
class Finalist:
    """An accepted trial: the digest of its candidate, its number in the study, what judging it took.

    `is_given`: a seed as it was given, which every search starts from.
    """

    candidate: str
    trial: int
    proposer: str
    score: float
    seconds: float
    is_given: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def choose_finalists(trials: Sequence[Trial], given: Collection[str]) -> tuple[Finalist, ...]:
    """The accepted trials with the highest scores, best first, and in any case the best of the `given` candidates.

    What was found must hold against where the search began: the best of many noisy scores is partly lucky.
    """
    found: dict[str, Finalist] = {}
    for number, trial in enumerate(trials, start=1):
        if trial.verdict.accepted:
            digest = trial.candidate.digest
            found.setdefault(
                digest,
                Finalist(digest, number, trial.proposer, trial.score, trial.verdict.seconds, digest in given),
            )
    ranked = sorted(found.values(), key=lambda finalist: -finalist.score)
    chosen = ranked[:FINALISTS]
    best_given = next((finalist for finalist in ranked if finalist.is_given), None)
    if best_given is not None and best_given not in chosen:
        chosen[-1] = best_given
    return tuple(chosen)
