"""Candidates that were judged before, proposed again in their order: another machine or workload answers anew."""

from collections.abc import Mapping, Sequence
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search.proposer import FileProposer, Trial
from kernelsearch.search.study import recorded_candidate
from kernelsearch.spec import Candidate


class ReplayProposer:
    """What a ledger says was tried for one target and language; each candidate once, in order of its first trial."""

    def __init__(self, candidates: Sequence[Candidate], source: str) -> None:
        unique = {candidate.digest: candidate for candidate in candidates}
        self._source = source
        self._inner = FileProposer(tuple(unique.values()))

    @property
    def name(self) -> str:
        return "replay"

    def describe(self) -> Mapping[str, Any]:
        return {"from": self._source, **self._inner.describe()}

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        return self._inner.ask(history)

    def tell(self, trial: Trial) -> None:
        pass


def recorded_candidates(
    ledger: Ledger, objects: Objects, target: str, language: str, study: str | None = None
) -> list[Candidate]:
    """The candidates of a ledger in order; of one study where the first digits of its record's digest are given.

    Raises UsageError where `study` names none or several, or where nothing is left.
    """
    lines = ledger.find("trial", target=target, language=language)
    if study is not None:
        known = [line.digest for line in ledger.find("study") if line.digest.startswith(study)]
        if len(known) != 1:
            raise UsageError(
                f"study={study!r}: {len(known)} studies of {str(ledger.path)!r} begin so; give one's digest"
            )
        lines = [line for line in lines if line.body["study"] == known[0]]
    if not lines:
        raise UsageError(f"ledger={str(ledger.path)!r}: no {language} candidates for target {target!r} to replay")
    return [recorded_candidate(line, objects) for line in lines]
