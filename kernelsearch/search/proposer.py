"""What makes candidates, and what it is told of them.

`ask` gives the next candidate, or None once there is no more to propose; `tell` brings its verdict before the next
`ask`. A rejected candidate is told too: a failed trial is data. A proposer draws all its randomness from its own seed,
so that a study that was killed and started again asks the same questions, which the ledger answers at no cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kernelsearch.spec import Candidate, Status, Verdict

REJECTED = float("-inf")


@dataclass(frozen=True)
class Trial:
    """One candidate, judged once. `is_cached` says that the verdict was in the ledger already."""

    candidate: Candidate
    verdict: Verdict
    proposer: str
    is_cached: bool

    @property
    def score(self) -> float:
        """Lower end of the speedup's interval; REJECTED for a candidate that failed a gate or was not timed.

        Of a SLOWER one, the figure of its first look.
        """
        verdict = self.verdict
        is_timed = verdict.passed or verdict.status is Status.SLOWER
        return verdict.low if is_timed and verdict.low is not None else REJECTED


class Proposer(Protocol):
    """See the module's docstring for the contract."""

    @property
    def name(self) -> str: ...

    def describe(self) -> Mapping[str, Any]:
        """What the record of a study says of this proposer: its settings, its seed."""

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        """The next candidate. `history` holds every trial of the study so far, those of other proposers too."""

    def tell(self, trial: Trial) -> None: ...


class FileProposer:
    """Proposes given candidates once each, in order."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._candidates = tuple(candidates)
        self._asked = 0

    @property
    def name(self) -> str:
        return "file"

    def describe(self) -> Mapping[str, Any]:
        return {"candidates": [candidate.digest for candidate in self._candidates]}

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        if self._asked == len(self._candidates):
            return None
        self._asked += 1
        return self._candidates[self._asked - 1]

    def tell(self, trial: Trial) -> None:
        pass
