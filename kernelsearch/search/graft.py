"""One C++ source made of functions of two: the forward of one kernel with the backward of another, entry by entry.

A forward may be paired with another source's backward where both declare the same saved tensors; otherwise an entry
comes from one source whole. Each source keeps a namespace of its own, its tunables under its own prefix, so that they
are still bound apart; of a function that is not taken only a static copy stays, which the compiler drops.

This works on text, on what candidates look like, not on all of C++: where a source's functions are not found as plain
`extern "C" void NAME(`, it is not grafted. What comes out is a candidate like any other, and proves itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from kernelsearch.build.abi import macros
from kernelsearch.spec import Candidate, Target, TensorSpec, read_candidate, saved_tensors, tunable_space
from kernelsearch.spec.candidate import declared_flags

_FUNCTION = re.compile(r'^extern\s+"C"\s+void\s+(\w+)\s*\(', re.MULTILINE)
_DECLARATION = re.compile(r"^\s*//\s*(?:tune|saves\b[^:\n]*):.*\n", re.MULTILINE)
_COMMENT = re.compile(r"//.*")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(.+?)[ \t]*$\n?", re.MULTILINE)
_CONDITION = re.compile(r"^[ \t]*#[ \t]*(if|endif|include)", re.MULTILINE)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
_EXPORTED = 'extern "C" __attribute__((visibility("default"))) void'
_DROPPED = "[[maybe_unused]] static void"


@dataclass(frozen=True)
class Template:
    """A source with tunables, and where it comes from.

    `parts` gives for each exported function the number of the seed that supplies it; `names` gives for each tunable
    its seed and its name there.
    """

    candidate: Candidate
    parts: tuple[int, ...]
    names: Mapping[str, tuple[int, str]]


def templates(target: Target, seeds: Sequence[Candidate]) -> list[Template]:
    """The seeds as they are, then every graft of two of them that is not itself among the seeds."""
    found = [_whole(target, seed, index) for index, seed in enumerate(seeds)]
    known = {seed.source for seed in seeds}
    able = [index for index, seed in enumerate(seeds) if _can_be_grafted(target, seed)]
    for pair in combinations(able, 2):
        if _prefix(seeds, pair[0]) != _prefix(seeds, pair[1]):
            made = [graft(target, seeds, parts) for parts in _recombinations(target, seeds, pair)]
            found += [template for template in made if template.candidate.source not in known]
    return found


def all_templates(seeds: Sequence[Candidate], target: Target | None) -> list[Template]:
    """The seeds and their grafts; without a target the seeds alone, each made of one part."""
    if target is not None:
        return templates(target, seeds)
    return [Template(s, (index,), {n: (index, n) for n in s.tunables}) for index, s in enumerate(seeds)]


def graft(target: Target, seeds: Sequence[Candidate], parts: tuple[int, ...]) -> Template:
    """The source whose function number i, in the order of `function_names`, is that of seed `parts[i]`."""
    functions = function_names(target)
    used = sorted(set(parts))
    names = {f"{_prefix(seeds, index)}_{name}": (index, name) for index in used for name in seeds[index].tunables}
    taken = {index: {f for f, part in zip(functions, parts, strict=True) if part == index} for index in used}
    header = [f"// {' and '.join(sorted(taken[index]))} of {seeds[index].origin}." for index in used]
    for index in used:
        space = tunable_space(seeds[index].source)
        header += [f"// tune: {_prefix(seeds, index)}_{n} in {' '.join(map(str, v))}" for n, v in space.items()]
    header += _saves(target, seeds, dict(zip(functions, parts, strict=True)))
    includes = dict.fromkeys(line for index in used for line in _INCLUDE.findall(seeds[index].source))
    sections = [_section(seeds[index], _prefix(seeds, index), taken[index]) for index in used]
    source = "\n".join([*header, "", *(f"#include {name}" for name in includes), "", *sections])
    origin = "+".join(seeds[index].origin for index in used)
    values = {name: seeds[index].tunables[own] for name, (index, own) in names.items()}
    return Template(read_candidate(target.name, "cpp", source, origin).bind(**values), parts, names)


def function_names(target: Target) -> tuple[str, ...]:
    """What a C++ candidate exports, in the order of the contract."""
    passes = {entry.name: ("forward", "backward") if entry.has_backward else ("forward",) for entry in target.entries}
    return tuple(f"{name}_{which}" for name, both in passes.items() for which in both)


def _whole(target: Target, seed: Candidate, index: int) -> Template:
    names = {name: (index, name) for name in seed.tunables}
    return Template(seed, (index,) * len(function_names(target)), names)


def _recombinations(target: Target, seeds: Sequence[Candidate], pair: tuple[int, int]) -> Iterator[tuple[int, ...]]:
    """Every way to take the target's functions from both seeds of a pair."""
    choices: list[list[tuple[int, ...]]] = []
    for entry in target.entries:
        one, other = (_saved(target, seeds[index], entry.name) for index in pair)
        count = 2 if entry.has_backward else 1
        alone = [(index,) * count for index in pair]
        choices.append(list(product(pair, repeat=count)) if one == other else alone)
    for chosen in product(*choices):
        parts = tuple(part for unit in chosen for part in unit)
        if len(set(parts)) == 2:
            yield parts


def _saved(target: Target, seed: Candidate, entry: str) -> tuple[TensorSpec, ...]:
    return saved_tensors(seed.source, target, entry)


def _saves(target: Target, seeds: Sequence[Candidate], supplier: Mapping[str, int]) -> list[str]:
    lines = []
    for entry in target.entries:
        for tensor in _saved(target, seeds[supplier[f"{entry.name}_forward"]], entry.name):
            lines.append(f"// saves {entry.name}: {tensor.name} {tensor.dtype} {' '.join(tensor.axes)}".rstrip())
    return lines


def _section(seed: Candidate, prefix: str, taken: set[str]) -> str:
    """The seed's code in its namespace, its macros undone behind it."""
    code = _INCLUDE.sub("", _DECLARATION.sub("", seed.source)).strip()
    code = _FUNCTION.sub(lambda m: f"{_EXPORTED if m[1] in taken else _DROPPED} {m[1]}(", code)
    tuned = list(macros(seed))
    defines = [f"#define {name} {prefix}_{name}" for name in tuned]
    undone = [f"#undef {name}" for name in dict.fromkeys([*tuned, *_DEFINE.findall(code)])]
    return "\n".join([*defines, f"namespace {prefix} {{", code, f"}}  // namespace {prefix}", *undone, ""])


def _can_be_grafted(target: Target, seed: Candidate) -> bool:
    return (
        seed.language == "cpp"
        and seed.declared == seed.source  # what may be paired must not depend on the tunables
        and not declared_flags(seed.source)  # they are for a whole file
        and _uses_its_tunables(seed)
        and sorted(_FUNCTION.findall(seed.source)) == sorted(function_names(target))
        and seed.source.count('extern "C"') == len(function_names(target))
        and not _has_conditional_include(seed.source)
    )


def _uses_its_tunables(seed: Candidate) -> bool:
    """Whether each has an effect within the file: one that sets a header's macro would have none behind its prefix."""
    words = set(re.findall(r"\w+", _COMMENT.sub("", seed.source)))
    used = [name for name in macros(seed) if name in words]
    return all(any(name == own or name.startswith(f"{own}_") for name in used) for own in seed.tunables)


def _has_conditional_include(source: str) -> bool:
    depth = 0
    for word in _CONDITION.findall(source):
        depth += {"if": 1, "endif": -1, "include": 0}[word]
        if word == "include" and depth:
            return True
    return False


def _prefix(seeds: Sequence[Candidate], index: int) -> str:
    return re.sub(r"\W", "_", f"from_{seeds[index].origin}")
