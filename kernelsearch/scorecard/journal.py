"""One JSON line a verdict, appended and flushed: a run that was killed goes on where it stopped."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from kernelsearch.digest import canonical_json
from kernelsearch.scorecard.corpus import Subject
from kernelsearch.spec.candidate import Value


@dataclass(frozen=True)
class Row:
    """One kernel of a corpus judged once.

    `kind` is "mutant" or "honest"; `outcome` is "accepted", "refused", "unbuilt" (does not compile: no kernel) or
    "identical" (the same object code as its base). `artifact` names the object code; `gate` is the one that refused.
    `attempt` counts repetitions on fresh seeds. `before` and `after` are the lines a mutant changed.
    """

    key: str
    kind: str
    target: str
    dtype: str
    base: str
    tunables: Mapping[str, Value]
    operator: str
    function: str
    line: int
    before: str
    after: str
    digest: str
    split: str
    attempt: int
    outcome: str
    status: str
    detail: str
    counterexample: str | None
    gate: str | None
    seconds: float
    gates: Mapping[str, float]
    artifact: str
    rules: Mapping[str, bool] | None

    @staticmethod
    def of(subject: Subject, key: str, attempt: int) -> "Row":
        """A subject that nothing is known of yet."""
        mutant = subject.mutant
        return Row(
            key=key,
            kind=subject.kind,
            target=subject.base.target,
            dtype=subject.dtype,
            base=subject.base.name,
            tunables=dict(subject.candidate.tunables),
            operator="" if mutant is None else mutant.operator,
            function="" if mutant is None else mutant.function,
            line=0 if mutant is None else mutant.line,
            before="" if mutant is None else mutant.before,
            after="" if mutant is None else mutant.after,
            digest=subject.candidate.digest if mutant is None else mutant.digest,
            split="" if mutant is None else mutant.split,
            attempt=attempt,
            outcome="",
            status="",
            detail="",
            counterexample=None,
            gate=None,
            seconds=0.0,
            gates={},
            artifact="",
            rules=None,
        )


def read_rows(path: Path) -> dict[str, Row]:
    """The finished lines of a journal by key; a last line that a killed writer left unfinished is cut off."""
    if not path.is_file():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    rows = [Row(**json.loads(line)) for line in whole.splitlines()]
    return {row.key: row for row in rows}


def append_row(path: Path, row: Row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(canonical_json(asdict(row)).encode() + b"\n")
