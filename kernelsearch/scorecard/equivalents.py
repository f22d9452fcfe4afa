"""Mutants that compute the same within the contract, each examined by a person and listed with the reason.

An entry names the changed line before and after, so that it holds as long as the code it was read in stands. A listed
mutant that the judge refuses is a contradiction, and is reported as one.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernelsearch.scorecard.journal import Row

LIST = Path(__file__).parent / "equivalent.json"


@dataclass(frozen=True)
class Equivalent:
    """`dtype` None: in every one. `base` and `function` say where the lines stand."""

    target: str
    base: str
    function: str
    before: str
    after: str
    reason: str
    dtype: str | None = None

    def covers(self, row: Row) -> bool:
        place = (row.target, row.base, row.function, row.before, row.after)
        mine = (self.target, self.base, self.function, self.before, self.after)
        return place == mine and self.dtype in (None, row.dtype)


@cache
def reviewed_equivalents() -> tuple[Equivalent, ...]:
    return tuple(Equivalent(**entry) for entry in json.loads(LIST.read_text()))


def is_reviewed(row: Row) -> bool:
    return row.kind == "mutant" and any(entry.covers(row) for entry in reviewed_equivalents())
