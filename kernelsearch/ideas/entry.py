"""An idea's place in the queue: open, claimed by a worker for a while, or closed with what came of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.spec import Idea

OUTCOMES = {
    "faster": "accepted by the judge and faster than what was there",
    "equal": "right, but not faster beyond doubt",
    "slower": "right and slower",
    "wrong": "does not compute the same, or cannot be built",
    "abandoned": "given up without a figure; the note says why",
}
MAXIMUM_NOTE = 2000


@dataclass(frozen=True)
class Measured:
    """Speedup against the baseline with its interval; `low` alone where only that was recorded.

    `by` is who vouches for it: "judge", the ledger's own verdict; "provenance", an accepted kernel's; "study", a
    recorded one; "reporter", whoever closed the idea.
    """

    low: float
    by: str
    speedup: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How an idea ended. `candidate` and `study` are digests in the ledger; `before` is the best speedup until then."""

    outcome: str
    worker: str
    time: str
    note: str = ""
    measured: Measured | None = None
    before: float | None = None
    candidate: str | None = None
    study: str | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise UsageError(f"outcome={self.outcome!r}: choose from {', '.join(OUTCOMES)}")
        if len(self.note) > MAXIMUM_NOTE:
            raise UsageError(f"note of {len(self.note)} characters: at most {MAXIMUM_NOTE}")

    @property
    def is_negative(self) -> bool:
        return self.outcome != "faster"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "measured": self.measured.as_json() if self.measured else None}


def outcome_from_json(value: Mapping[str, Any]) -> Outcome:
    measured = value.get("measured")
    fields = {key: item for key, item in value.items() if key in Outcome.__dataclass_fields__}
    return Outcome(**{**fields, "measured": Measured(**measured) if measured else None})


@dataclass(frozen=True)
class Claim:
    """A worker's right to try an idea until `expires` (ISO 8601, UTC)."""

    worker: str
    expires: str

    def holds(self, now: datetime) -> bool:
        return now < datetime.fromisoformat(self.expires)


@dataclass(frozen=True)
class Entry:
    """An idea with its state. `number` is the order of filing; `is_built_in` ideas come with the targets."""

    idea: Idea
    number: int
    is_built_in: bool = False
    claim: Claim | None = None
    outcome: Outcome | None = None

    def state(self, now: datetime) -> str:
        if self.outcome is not None:
            return "closed"
        return "claimed" if self.claim is not None and self.claim.holds(now) else "open"

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            **self.idea.as_json(),
            "state": self.state(now),
            "built_in": self.is_built_in,
            "claim": asdict(self.claim) if self.claim is not None and self.state(now) == "claimed" else None,
            "outcome": self.outcome.as_json() if self.outcome else None,
        }
