"""All targets at once: the best kernel of each, what it is up against, where it comes from, how to judge it again."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from kernelsearch.dispatch.store import Accepted
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.measured import Row, worst
from kernelsearch.report.table import Table
from kernelsearch.report.text import format_interval, format_ratio, shown
from kernelsearch.spec import TargetFolder, library_path

NONE_ACCEPTED = "none accepted"
TITLES = ("target", "best", "against the baseline", "at its worst", "of light", "verdicts")


def target_names(evidence: Evidence) -> list[str]:
    """Targets with a kernel, a search or a recorded search."""
    names = {kernel.candidate.target for kernel in evidence.kernels} | {s.target for s in evidence.searches}
    names |= {str(d.body["target"]) for device in evidence.devices for d in device.of("optimize")}
    return sorted(names)


def list_targets(evidence: Evidence) -> Table:
    """The best kernel of each target, a promoted one before any other, and its worst measured row.

    Targets that were searched here come first.
    """
    rows = []
    for name in target_names(evidence):
        best = best_kernel(evidence, name)
        verdicts = sum(len(search.trials) for search in evidence.searches if search.target == name)
        standing, ratio = NONE_ACCEPTED, "-"
        if best is not None:
            standing = "promoted" if best.is_promoted else "accepted"
            ratio = format_interval(best.verdict.speedup, best.verdict.low, best.verdict.high)
        rival, light = _at_worst(rows_of(evidence, name))
        rows.append((shown(name), standing, ratio, rival, light, str(verdicts)))
    own_first = sorted(rows, key=lambda row: row[-1] == "0")
    return Table(TITLES, tuple(own_first), "Targets and their best kernel")


def best_kernel(evidence: Evidence, target: str) -> Accepted | None:
    kept = [kernel for kernel in evidence.kernels if kernel.candidate.target == target]
    return max(kept, key=lambda kernel: (kernel.is_promoted, kernel.low), default=None)


def rows_of(evidence: Evidence, target: str) -> list[Row]:
    """What was measured of a target's entries."""
    entries = entry_names(evidence.folders.get(target))
    return [row for row in evidence.bench_rows if row["target"] in entries | {target}]


def entry_names(folder: TargetFolder | None) -> set[str]:
    return {entry.name for entry in folder.target.entries} if folder is not None else set()


def _at_worst(rows: Iterable[Row]) -> tuple[str, str]:
    found = worst(rows)
    if found is None:
        return "-", "-"
    row, rival = found
    return f"{format_ratio(row['vs'][rival]['speedup'])} {shown(rival)}", f"{row['speed_of_light']:.0%}"


def list_kernels(evidence: Evidence) -> Table:
    """Every kept kernel: what it is, who proposed it, and the command that judges it again with fresh seeds."""
    titles = ("target", "kernel", "standing", "against the baseline", "proposed by", "judged", "judge it again")
    rows = []
    for kept in evidence.kernels:
        verdict = kept.verdict
        standing = "promoted" if kept.is_promoted else "accepted"
        ratio = format_interval(verdict.speedup, verdict.low, verdict.high)
        name, proposer = shown(kept.candidate.target), shown(kept.proposer)
        rows.append((name, kept.digest[:12], standing, ratio, proposer, kept.date[:10], recheck(kept.folder)))
    return Table(titles, tuple(rows), "Kernels, and how to judge them again")


def recheck(folder: Path | None) -> str:
    """The command that judges an accepted kernel again."""
    return "-" if folder is None else f"kernelsearch verify {_from_here(folder)}"


def name_for(folder: TargetFolder | None, target: str) -> str:
    """What commands know a target by: its name where it came with this installation, else its folder."""
    is_foreign = folder is not None and folder.path.parent.resolve() != library_path().resolve()
    return _from_here(folder.path) if folder is not None and is_foreign else target


def _from_here(folder: Path) -> str:
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative


def list_recorded(evidence: Evidence, targets: Sequence[str]) -> Table | None:
    """Searches of which only the result was kept: what each proposer reached with as many trials."""
    rows = []
    for device in evidence.devices:
        for d in device.of("optimize"):
            if d.body["target"] in targets:
                ways = d.body["proposers"]
                reached = ", ".join(f"{w['proposer']} {_last(w['improvements'])} in {w['trials']}" for w in ways)
                given = max((low for low in (d.body.get("seeds") or {}).values() if low is not None), default=None)
                best = d.body.get("best") or {}
                again = format_interval(*(best.get(k) for k in ("speedup", "low", "high")))
                kept = again if d.body.get("stored") else NONE_ACCEPTED
                shapes = (best.get("measurements") or [{"workload": "-"}])[0]["workload"].split("/")[0]
                seed = "-" if given is None else f"{given:.2f}x"
                counts = (str(d.body["trials"]), f"{d.body['seconds']:.0f}")
                rows.append((shown(d.body["target"]), shapes, *counts, seed, shown(reached), kept))
    titles = ("target", "shapes", "trials", "s", "best seed as given", "best low by proposer", "winner, judged again")
    return Table(titles, tuple(rows), "Recorded searches") if rows else None


def _last(improvements: Sequence[Sequence[float]]) -> str:
    return f"{improvements[-1][1]:.2f}x" if improvements else "nothing"
