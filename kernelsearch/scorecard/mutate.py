"""Mutants: wrong kernels made of right ones, each one change away from a source that is known to be equal.

Their order and choice depend on the sources alone, so that two runs score the same corpus. Half of them, by the parity
of their digest, may be looked at while rules are tuned; the other half is only ever scored.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kernelsearch.digest import digest
from kernelsearch.scorecard.cuda_edits import find_cuda_edits
from kernelsearch.scorecard.edits import Edit, apply_edit, find_edits
from kernelsearch.scorecard.handwritten import find_mistakes
from kernelsearch.scorecard.triton_edits import find_triton_edits
from kernelsearch.spec.target import SCALAR_DTYPES


@dataclass(frozen=True)
class Base:
    """A right kernel that mutants are made of: its target's name, its own, its source, "cpp", "triton" or "cuda"."""

    target: str
    name: str
    source: str
    language: str = "cpp"


@dataclass(frozen=True)
class Mutant:
    """One change of a base in one dtype; `before` and `after` are the changed lines, `line` counts from 1."""

    base: Base
    operator: str
    function: str
    line: int
    before: str
    after: str
    source: str
    dtype: str

    @cached_property
    def digest(self) -> str:
        return digest([self.base.target, self.source, self.dtype])

    @property
    def split(self) -> str:
        """ "development" or "held-out", by the parity of the digest."""
        return "development" if int(self.digest[-1], 16) % 2 == 0 else "held-out"


def mutants_of(base: Base, dtype: str) -> list[Mutant]:
    """Every mutant of one base, hand-written ones first; a source that comes up twice is kept once."""
    found: dict[str, Mutant] = {}
    if base.language == "triton":
        edits = find_triton_edits(base.source)
    elif base.language == "cuda":
        edits = find_cuda_edits(base.source)
    else:
        edits = [*find_mistakes(base.target, base.source), *find_edits(base.source)]
    for edit in edits:
        source = apply_edit(base.source, edit)
        if edit.only in (None, dtype) and source not in found:
            found[source] = Mutant(base, edit.operator, edit.function, *_lines(base.source, edit), source, dtype)
    return list(found.values())


def choose_mutants(bases: Sequence[Base], quota: int) -> list[Mutant]:
    """At most `quota` mutants of each target and dtype, spread evenly over bases and operators.

    One after the other from each group of base and operator, the order within a group by digest.
    """
    chosen: list[Mutant] = []
    for target in sorted({base.target for base in bases}):
        for dtype in SCALAR_DTYPES:
            groups: dict[tuple[str, str], list[Mutant]] = defaultdict(list)
            for base in sorted((b for b in bases if b.target == target), key=lambda b: b.name):
                for mutant in mutants_of(base, dtype):
                    groups[base.name, mutant.operator].append(mutant)
            chosen += _take_in_turn([sorted(group, key=lambda m: m.digest) for group in groups.values()], quota)
    return chosen


def _take_in_turn(groups: list[list[Mutant]], quota: int) -> list[Mutant]:
    found = [mutant for turn in _turns(groups) for mutant in turn]
    return found[:quota]


def _turns(groups: list[list[Mutant]]) -> Iterator[list[Mutant]]:
    for index in range(max((len(group) for group in groups), default=0)):
        yield sorted((group[index] for group in groups if index < len(group)), key=lambda m: m.digest)


def _lines(source: str, edit: Edit) -> tuple[int, str, str]:
    """Number of the first changed line, those lines before and after, each without its surrounding spaces."""
    data = source.encode()
    start = data.rfind(b"\n", 0, edit.start) + 1
    end = data.find(b"\n", edit.end)
    end = len(data) if end < 0 else end
    after = data[start : edit.start] + edit.text.encode() + data[edit.end : end]
    line = data.count(b"\n", 0, edit.start) + 1
    return line, data[start:end].decode().strip(), after.decode().strip()
