"""`kernelsearch check`: one candidate through every gate and the clock."""

from pathlib import Path
from typing import Any

from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.cli.workplace import chosen_workloads, open_workplace, read_source
from kernelsearch.errors import UsageError
from kernelsearch.report.text import open_console
from kernelsearch.report.verdict import render_verdict
from kernelsearch.spec import Candidate, Status, read_candidate, tunable_space
from kernelsearch.spec.library import SUFFIXES, guess_language


def run(
    file: Path,
    target: str,
    workload: str | None,
    dtype: str,
    settings: tuple[str, ...],
    threads: int | None,
    language: str | None = None,
) -> tuple[dict[str, Any], int]:
    source = read_source(file)
    language = language or guess_language(file.suffix, source)
    if language is None:
        known = ", ".join(sorted(set(SUFFIXES.values())))
        raise UsageError(f"file={str(file)!r}: the ending tells the language; known are {known}; or give --language")
    place = open_workplace(threads)
    folder = place.target(target)
    workloads = chosen_workloads(folder, workload, dtype)
    candidate = bind_tunables(read_candidate(folder.target.name, language, source, file.name), settings)
    verdict = place.judge_for(language, folder, dtype, workloads, ARCHITECTURES).judge(candidate)
    open_console(stderr=True).print(render_verdict(verdict))
    if verdict.status is Status.INFRASTRUCTURE:
        return verdict.as_json(), 3
    return verdict.as_json(), 0 if verdict.passed else 1


def bind_tunables(candidate: Candidate, settings: tuple[str, ...]) -> Candidate:
    """The candidate with NAME=VALUE settings applied; each must be declared in its source."""
    space = tunable_space(candidate.source)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in space or text not in {str(value) for value in space[name]}:
            declared = "; ".join(f"{n} in {' '.join(map(str, values))}" for n, values in space.items()) or "none"
            raise UsageError(f"set={setting!r}: declared tunables are {declared}")
        candidate = candidate.bind(**{name: next(value for value in space[name] if str(value) == text)})
    return candidate
