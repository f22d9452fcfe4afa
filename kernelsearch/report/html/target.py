"""One target on the page: its comparisons, its searches, its kernels."""

from dataclasses import dataclass

from kernelsearch.errors import CorruptState
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.html.figure import Figure
from kernelsearch.report.html.kernels import Kernel, seeds_of, show_accepted, show_best, unkept
from kernelsearch.report.html.measured import draw_target_rivals
from kernelsearch.report.html.searches import draw_outcomes, draw_progress
from kernelsearch.report.searches import Search, list_trials
from kernelsearch.report.table import Table
from kernelsearch.report.targets import list_recorded, name_for, rows_of
from kernelsearch.spec import Candidate, TargetFolder


@dataclass(frozen=True)
class Progress:
    """One search as the page shows it. `state` is kept apart because it changes with every verdict."""

    search: Search
    figures: tuple[Figure, ...]
    trials: Table


@dataclass(frozen=True)
class TargetPage:
    """Everything about one target."""

    name: str
    summary: str
    rivals: Figure | None
    progress: tuple[Progress, ...]
    recorded: Table | None
    kernels: tuple[Kernel, ...]


def make_target(evidence: Evidence, name: str) -> TargetPage:
    folder = evidence.folders.get(name)
    rows = rows_of(evidence, name)
    own = [search for search in evidence.searches if search.target == name]
    kept = [kernel for kernel in evidence.kernels if kernel.candidate.target == name]
    kernels = [show_accepted(kernel, seeds_of(folder, kernel.candidate.language)) for kernel in kept]
    for search in own:
        found = _best_of(search, evidence, folder)
        if found is not None and unkept(kernels, found.digest):
            kernels.append(found)
    return TargetPage(
        name=name,
        summary=folder.target.summary if folder is not None else "",
        rivals=draw_target_rivals(rows, f"rivals-{name}") if rows else None,
        progress=tuple(_progress(search, f"{name}-{number}") for number, search in enumerate(own)),
        recorded=_recorded(evidence, name),
        kernels=tuple(kernels),
    )


def _progress(search: Search, name: str) -> Progress:
    figures = (draw_progress(search, f"progress-{name}"), draw_outcomes(search, f"gates-{name}"))
    return Progress(search, figures if search.trials else (), list_trials(search))


def _best_of(search: Search, evidence: Evidence, folder: TargetFolder | None) -> Kernel | None:
    best = search.best
    if best is None:
        return None
    try:
        source = evidence.objects.get(best.source)
    except CorruptState:
        return None  # a ledger shown without its sources still has its figures
    candidate = Candidate(search.target, best.language, source, dict(best.tunables), best.origin)
    return show_best(
        candidate, best.verdict, seeds_of(folder, best.language), search.context, name_for(folder, search.target)
    )


def _recorded(evidence: Evidence, name: str) -> Table | None:
    found = list_recorded(evidence, [name])
    return None if found is None else found.without("target")
