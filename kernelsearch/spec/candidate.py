"""A candidate: proposed source in one language with its tunables bound; its identity is the digest of its content.

Declarations stand in comment lines of the source, so that any candidate, whoever wrote it, can be swept:

    // tune: BLOCK_Q in 16 32 64          a tunable, compiled as a macro; the first value is the default
    // tune: BACKWARD in recompute stash  a gene: BACKWARD_recompute is 1 or 0, and so is BACKWARD_stash
    // saves: lse float32 B H T           a tensor the forward leaves for the backward (dtype "scalar" allowed)
    // saves mix_norm: rstd float32 N     the same for one entry of a target with several
    // flags: -O2 -fno-tree-vectorize     options of the compiler, from the list in build/flags.py

`saves` and `flags` may hold for one value of a tunable only: `// saves if BACKWARD=stash: stash scalar N V`.

In Python files (Python, Triton, CUDA) they are literals at the top level; a tunable is then a global of that name:

    TUNE = {"BLOCK_Q": [16, 32, 64]}
    SAVES = {"lse": ("float32", "B", "H", "T"), "mix_norm: rstd": ("float32", "N")}
"""

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.errors import ContractError
from kernelsearch.spec.target import DTYPES, Target, TensorSpec

MAXIMUM_SOURCE_BYTES = 256 * 1024
_TUNE = re.compile(r"^\s*//\s*tune:\s*(\w+)\s+in\s+(.+?)\s*$", re.MULTILINE)
_CONDITION = re.compile(r"^(\s*//\s*(?:saves|flags)\b[^:\n]*?)\s+if\s+(\w+)\s*=\s*(\w+)\s*:(.*)$", re.MULTILINE)
_UNRESOLVED = re.compile(r"^\s*//\s*(?:saves|flags)\b[^:\n]*\sif\s.*$", re.MULTILINE)
_FLAGS = re.compile(r"^\s*//\s*flags:\s*(.*?)\s*$", re.MULTILINE)
_SAVES = re.compile(r"^\s*//\s*saves(?:\s+(\w+))?:\s*(\w+)\s+(\w+)((?:\s+\w+)*)\s*$", re.MULTILINE)
_LITERAL = re.compile(r"^(TUNE|SAVES)\b.*=", re.MULTILINE)


Value = int | str


@dataclass(frozen=True)
class Candidate:
    """One source file, with a value for each tunable it declares."""

    target: str
    language: str
    source: str
    tunables: Mapping[str, Value]
    origin: str = "file"

    @property
    def digest(self) -> str:
        """Identity: target, language, source and bound tunables; `origin` is provenance, not identity."""
        return digest([self.target, self.language, self.source, sorted(self.tunables.items())])

    @property
    def declared(self) -> str:
        """The source with its conditional declarations settled: what these tunables do not choose is gone."""
        return _CONDITION.sub(lambda found: self._settle(*found.groups()), self.source)

    def _settle(self, head: str, name: str, value: str, rest: str) -> str:
        known = tunable_space(self.source)
        if value not in map(str, known.get(name, ())):
            raise ContractError(f"if {name}={value}: no such value of a tunable; declared are {known}")
        return f"{head}:{rest}" if str(self.tunables[name]) == value else ""

    def bind(self, **values: Value) -> "Candidate":
        return Candidate(self.target, self.language, self.source, {**self.tunables, **values}, self.origin)


def read_candidate(target: str, language: str, source: str, origin: str) -> Candidate:
    """The candidate with each tunable at its default, the first value declared."""
    if len(source.encode()) > MAXIMUM_SOURCE_BYTES:
        raise ContractError(f"source of {len(source.encode())} bytes: a candidate has at most {MAXIMUM_SOURCE_BYTES}")
    defaults = {name: values[0] for name, values in tunable_space(source).items()}
    return Candidate(target, language, source, defaults, origin)


def tunable_space(source: str) -> dict[str, tuple[Value, ...]]:
    """The declared tunables and their values, in order of declaration: integers, or words."""
    space: dict[str, tuple[Value, ...]] = {}
    for name, text in _TUNE.findall(source):
        _add_tunable(space, name, _values(name, text.split()))
    for name, listed in _literal(source, "TUNE").items():
        if not name.isidentifier() or name.startswith("__"):
            raise ContractError(f"tune: {name!r} is not a name that a source can read")
        if not isinstance(listed, list | tuple) or not listed or any(type(value) is not int for value in listed):
            raise ContractError(f"tune: {name} in {listed!r}: every value must be an integer, such as [64, 128]")
        _add_tunable(space, name, tuple(listed))
    return space


def _values(name: str, words: list[str]) -> tuple[Value, ...]:
    if all(re.fullmatch(r"[A-Za-z]\w*", word) for word in words):
        return tuple(words)
    try:
        return tuple(int(word) for word in words)
    except ValueError:
        raise ContractError(f"tune: {name} in {' '.join(words)!r}: give integers, or words such as save") from None


def _add_tunable(space: dict[str, tuple[Value, ...]], name: str, values: tuple[Value, ...]) -> None:
    if name in space or len(set(values)) != len(values):
        raise ContractError(f"tune: {name} in {' '.join(map(str, values))!r}: declared twice")
    space[name] = values


def _literal(source: str, name: str) -> dict[str, Any]:
    """The dict that a Python source assigns to `name` at its top level; empty where there is none.

    A source that is not Python has none: what is wrong with it is for the build or the lint to say.
    """
    if name not in {found[1] for found in _LITERAL.finditer(source)}:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    values = [n.value for n in tree.body if name in _targets(n) and isinstance(n, ast.Assign | ast.AnnAssign)]
    if not values:
        return {}
    try:
        value = ast.literal_eval(values[0]) if len(values) == 1 and values[0] is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
        raise ContractError(f"{name}: must be one literal dict with names as keys")
    return value


def _targets(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def bindings(source: str) -> list[dict[str, Value]]:
    """Every combination of tunables, the defaults first."""
    space = tunable_space(source)
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def count_bindings(source: str) -> int:
    return prod(len(values) for values in tunable_space(source).values())


def declared_flags(source: str) -> tuple[str, ...]:
    """The compiler's options that a settled source (Candidate.declared) asks for, in order."""
    _refuse_unsettled(source)
    return tuple(flag for text in _FLAGS.findall(source) for flag in text.split())


def _refuse_unsettled(source: str) -> None:
    if found := _UNRESOLVED.search(source):
        raise ContractError(f"{found[0].strip()!r} is not settled: write NAME=VALUE behind `if`, and read `declared`")


def saved_tensors(source: str, target: Target, entry_name: str) -> tuple[TensorSpec, ...]:
    """The tensors this source's forward of `entry_name` leaves for its backward, in order of declaration.

    Where declarations have conditions, `source` is the settled one, Candidate.declared.
    """
    _refuse_unsettled(source)
    entry = target.entry(entry_name)
    axes = {axis.name for axis in entry.axes}
    found = []
    for only, name, dtype, rest in _saves(source):
        if only and only not in {e.name for e in target.entries}:
            raise ContractError(f"saves {only}: no such entry in target {target.name!r}")
        if only and only != entry_name:
            continue
        if dtype != "scalar" and dtype not in DTYPES:
            raise ContractError(f"saves: {name} {dtype}: the dtype must be scalar, {', '.join(DTYPES)}")
        unknown = [axis for axis in rest if axis not in axes]
        if unknown:
            raise ContractError(f"saves: {name}: unknown axes {unknown}; entry {entry_name!r} has {sorted(axes)}")
        found.append(TensorSpec(name, rest, dtype))
    return tuple(found) if entry.has_backward else ()


def _saves(source: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Declarations of saved tensors: entry or "", name, dtype, axes."""
    found = [(only, name, dtype, tuple(rest.split())) for only, name, dtype, rest in _SAVES.findall(source)]
    for key, listed in _literal(source, "SAVES").items():
        only, _, name = (word.strip() for word in key.rpartition(":"))
        is_listed = isinstance(listed, list | tuple) and all(isinstance(word, str) for word in listed)
        if not name.isidentifier() or not is_listed or not listed:
            raise ContractError(f'saves: {key!r}: {listed!r} must be a dtype and axes, such as ("float32", "B", "T")')
        found.append((only, name, listed[0], tuple(listed[1:])))
    return found
