"""One target on the page: its comparisons, its searches, its kernels."""

from collections.abc import Sequence
from dataclasses import dataclass

from kernelsearch.errors import CorruptState
from kernelsearch.report.html.evidence import Evidence
from kernelsearch.report.html.figure import Figure, Table
from kernelsearch.report.html.kernels import Kernel, seeds_of, show_accepted, show_best, unkept
from kernelsearch.report.html.measured import draw_target_rivals
from kernelsearch.report.html.searches import Search, draw_outcomes, draw_progress, list_trials
from kernelsearch.report.text import format_interval
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


def target_names(evidence: Evidence) -> list[str]:
    """Targets with a kernel, a search or a recorded search."""
    names = {kernel.candidate.target for kernel in evidence.kernels} | {s.target for s in evidence.searches}
    names |= {str(d.body["target"]) for device in evidence.devices for d in device.of("optimize")}
    return sorted(names)


def list_targets(evidence: Evidence, names: Sequence[str]) -> Table:
    """The best kernel of each target, a promoted one before any other."""
    rows = []
    for name in names:
        kept = [kernel for kernel in evidence.kernels if kernel.candidate.target == name]
        best = max(kept, key=lambda kernel: (kernel.is_promoted, kernel.low), default=None)
        verdicts = sum(len(search.trials) for search in evidence.searches if search.target == name)
        standing, ratio = "no accepted kernel", "-"
        if best is not None:
            standing = "promoted" if best.is_promoted else "accepted"
            ratio = format_interval(best.verdict.speedup, best.verdict.low, best.verdict.high)
        rows.append((name, standing, ratio, str(len(kept)), str(verdicts)))
    titles = ("target", "best kernel", "against the baseline", "accepted kernels", "verdicts in this ledger")
    return Table(titles, tuple(rows))


def make_target(evidence: Evidence, name: str) -> TargetPage:
    folder = evidence.folders.get(name)
    entries = {entry.name for entry in folder.target.entries} if folder is not None else set()
    rows = [row for row in evidence.bench_rows if row["target"] in entries | {name}]
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
    return show_best(candidate, best.verdict, seeds_of(folder, best.language), search.context)


def _recorded(evidence: Evidence, name: str) -> Table | None:
    """Searches of which only the result was kept: what each proposer reached with as many trials."""
    rows = []
    for device in evidence.devices:
        for d in device.of("optimize"):
            if d.body["target"] == name:
                ways = d.body["proposers"]
                reached = (f"{w['proposer']} {_last(w['improvements'])} in {w['trials']}" for w in ways)
                seeds = (d.body.get("seeds") or {}).items()
                seed = max((low for _, low in seeds if low is not None), default=None)
                best = d.body.get("best") or {}
                again = format_interval(*(best.get(k) for k in ("speedup", "low", "high")))
                kept = again if d.body.get("stored") else "none accepted"
                shapes = (best.get("measurements") or [{"workload": "-"}])[0]["workload"].split("/")[0]
                given = "-" if seed is None else f"{seed:.2f}x"
                rows.append(
                    (shapes, str(d.body["trials"]), f"{d.body['seconds']:.0f}", given, ", ".join(reached), kept)
                )
    titles = ("shapes", "trials", "s", "best seed as given", "best low by proposer, in trials", "winner, judged again")
    return Table(titles, tuple(rows)) if rows else None


def _last(improvements: Sequence[Sequence[float]]) -> str:
    return f"{improvements[-1][1]:.2f}x" if improvements else "nothing"
