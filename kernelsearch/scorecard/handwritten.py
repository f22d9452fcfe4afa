"""Mistakes of people and models, by target, kept as data in mistakes.toml."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernelsearch.scorecard.edits import Edit

TABLE = Path(__file__).parent / "mistakes.toml"


@dataclass(frozen=True)
class Mistake:
    """`pattern` is a regular expression over a source; `only` the one dtype in which it is wrong."""

    name: str
    pattern: str
    replacement: str
    only: str | None = None


@cache
def mistakes(target: str) -> tuple[Mistake, ...]:
    """The table's mistakes for any target, then those for this one."""
    table = tomllib.loads(TABLE.read_text())
    return tuple(Mistake(**row) for row in (*table.get("everywhere", ()), *table.get(target, ())))


def studied_targets() -> frozenset[str]:
    """Targets that the table has mistakes of their own for; the others have mutants of the syntax tree alone."""
    return frozenset(tomllib.loads(TABLE.read_text())) - {"everywhere"}


def find_mistakes(target: str, source: str) -> Iterator[Edit]:
    """A change for each match of each mistake's pattern."""
    for mistake in mistakes(target):
        for match in re.finditer(mistake.pattern, source):
            if "//" in source[source.rfind("\n", 0, match.start()) + 1 : match.start()]:
                continue
            start, end = (len(source[:at].encode()) for at in match.span())
            text = match.expand(mistake.replacement)
            yield Edit(mistake.name, start, end, text, function_at(source, start), mistake.only)


def function_at(source: str, start: int) -> str:
    """Name of the function that a byte lies in, by the last definition at the margin above it."""
    above = source.encode()[:start].decode()
    names = re.findall(r"^(?!static_assert|constexpr|//|#)[^\s/}][^;=\n]*?(\w+)\(", above, re.MULTILINE)
    return names[-1] if names else ""
