"""A candidate: proposed source in one language with its tunables bound; its identity is the digest of its content.

Declarations stand in comment lines of the source, so that any candidate, whoever wrote it, can be swept:

    // tune: BLOCK_Q in 16 32 64          a tunable, compiled as a macro; the first value is the default
    // saves: lse float32 B H T           a tensor the forward leaves for the backward (dtype "scalar" allowed)
    // saves mix_norm: rstd float32 N     the same for one entry of a target with several
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from kernelsearch.digest import digest
from kernelsearch.errors import ContractError
from kernelsearch.spec.target import DTYPES, Target, TensorSpec

MAXIMUM_SOURCE_BYTES = 256 * 1024
_TUNE = re.compile(r"^\s*//\s*tune:\s*(\w+)\s+in\s+(.+?)\s*$", re.MULTILINE)
_SAVES = re.compile(r"^\s*//\s*saves(?:\s+(\w+))?:\s*(\w+)\s+(\w+)((?:\s+\w+)*)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Candidate:
    """One source file, with a value for each tunable it declares."""

    target: str
    language: str
    source: str
    tunables: Mapping[str, int]
    origin: str = "file"

    @property
    def digest(self) -> str:
        """Identity: target, language, source and bound tunables; `origin` is provenance, not identity."""
        return digest([self.target, self.language, self.source, sorted(self.tunables.items())])

    def bind(self, **values: int) -> "Candidate":
        return Candidate(self.target, self.language, self.source, {**self.tunables, **values}, self.origin)


def read_candidate(target: str, language: str, source: str, origin: str) -> Candidate:
    """The candidate with each tunable at its default, the first value declared."""
    if len(source.encode()) > MAXIMUM_SOURCE_BYTES:
        raise ContractError(f"source of {len(source.encode())} bytes: a candidate has at most {MAXIMUM_SOURCE_BYTES}")
    defaults = {name: values[0] for name, values in tunable_space(source).items()}
    return Candidate(target, language, source, defaults, origin)


def tunable_space(source: str) -> dict[str, tuple[int, ...]]:
    """The declared tunables and their values, in order of declaration."""
    space: dict[str, tuple[int, ...]] = {}
    for name, text in _TUNE.findall(source):
        try:
            values = tuple(int(word) for word in text.split())
        except ValueError:
            raise ContractError(f"tune: {name} in {text!r}: every value must be an integer") from None
        if name in space or len(set(values)) != len(values):
            raise ContractError(f"tune: {name} in {text!r}: declared twice")
        space[name] = values
    return space


def bindings(source: str) -> list[dict[str, int]]:
    """Every combination of tunables, the defaults first."""
    space = tunable_space(source)
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def count_bindings(source: str) -> int:
    return prod(len(values) for values in tunable_space(source).values())


def saved_tensors(source: str, target: Target, entry_name: str) -> tuple[TensorSpec, ...]:
    """The tensors this source's forward of `entry_name` leaves for its backward, in order of declaration."""
    entry = target.entry(entry_name)
    axes = {axis.name for axis in entry.axes}
    found = []
    for only, name, dtype, rest in _SAVES.findall(source):
        if only and only not in {e.name for e in target.entries}:
            raise ContractError(f"saves {only}: no such entry in target {target.name!r}")
        if only and only != entry_name:
            continue
        if dtype != "scalar" and dtype not in DTYPES:
            raise ContractError(f"saves: {name} {dtype}: the dtype must be scalar, {', '.join(DTYPES)}")
        unknown = [axis for axis in rest.split() if axis not in axes]
        if unknown:
            raise ContractError(f"saves: {name}: unknown axes {unknown}; entry {entry_name!r} has {sorted(axes)}")
        found.append(TensorSpec(name, tuple(rest.split()), dtype))
    return tuple(found) if entry.has_backward else ()
