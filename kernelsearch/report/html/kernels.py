"""Kernels as a page shows them: source, what differs from the seed, where it comes from, how to judge it again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kernelsearch.dispatch.store import Accepted
from kernelsearch.report.html.source import closest_parent, difference, highlight
from kernelsearch.report.table import Table
from kernelsearch.report.targets import recheck
from kernelsearch.report.text import format_interval, format_us, shown
from kernelsearch.spec import Candidate, TargetFolder, Verdict, verdict_from_json


@dataclass(frozen=True)
class Kernel:
    """One kernel of one target, ready to be shown; `standing` says in words what became of it."""

    digest: str
    title: str
    standing: str
    is_promoted: bool
    speedup: str
    lines: int
    source: Markup
    parent: str | None
    difference: Markup | None
    measurements: Table
    gates: Table
    provenance: Table
    recheck: str


def show_accepted(kept: Accepted, seeds: Mapping[str, str]) -> Kernel:
    """A kernel of the store. `seeds` are the starting sources of its target and language."""
    behind = ", ".join(f"{rival} {ratio:.2f}x" for rival, ratio in sorted(kept.behind.items()))
    standing = "promoted: training uses it by default" if kept.is_promoted else "accepted, not promoted"
    if behind:
        standing += f"; behind in {shown(behind)}"
    rows = [
        ("judged", kept.date[:16].replace("T", " ")),
        ("proposed by", f"{kept.proposer}, trial {kept.trial} of study {kept.study[:12]}"),
        ("equivalence", kept.verdict.equivalence or "-"),
        ("verified for", _domain(kept.verdict)),
        ("contract", kept.contract_digest[:12]),
        *((name, value[:12] if len(value) == 64 else value) for name, value in sorted(kept.fingerprint.items())),
    ]
    return _kernel(
        kept.candidate, kept.verdict, standing, seeds, rows, recheck(kept.folder), is_promoted=kept.is_promoted
    )


def show_best(
    candidate: Candidate, verdict: Mapping[str, Any], seeds: Mapping[str, str], study: str, target: str
) -> Kernel:
    """The best of a search that the store does not hold: nobody judged it again from scratch.

    `target` is what the command line knows the target by.
    """
    rows = [("from", f"the search in context {study[:12]}; not judged again from scratch")]
    again = f"kernelsearch optimize {target}   # goes on with the recorded search, judges its winner again"
    standing = "best of its search so far, not kept"
    return _kernel(candidate, verdict_from_json(verdict), standing, seeds, rows, again, is_promoted=False)


def _kernel(
    candidate: Candidate,
    verdict: Verdict,
    standing: str,
    seeds: Mapping[str, str],
    rows: Iterable[tuple[str, str]],
    again: str,
    *,
    is_promoted: bool,
) -> Kernel:
    parent = closest_parent(candidate, dict(seeds))
    changes = difference(candidate, parent, seeds[parent]) if parent is not None else ""
    bound = " ".join(f"{name}={value}" for name, value in sorted(candidate.tunables.items()))
    groups = ", ".join(dict.fromkeys(m.workload.split("/")[0] for m in verdict.measurements))
    source = candidate.source
    return Kernel(
        digest=candidate.digest,
        title=shown(f"{parent or candidate.origin} {bound}".strip()),
        standing=standing,
        is_promoted=is_promoted,
        speedup=f"{format_interval(verdict.speedup, verdict.low, verdict.high)} ({groups or '-'}, {verdict.dtype})",
        lines=len(source.splitlines()),
        source=highlight(source, candidate.language),
        parent=parent,
        difference=highlight(changes, "diff") if changes else None,
        measurements=_measurements(verdict),
        gates=Table(("gate", "seconds"), tuple((gate.name, f"{gate.seconds:.2f}") for gate in verdict.gates)),
        provenance=Table(("what", "value"), (("digest", candidate.digest[:12]), *rows)),
        recheck=again,
    )


def _measurements(verdict: Verdict) -> Table:
    titles = ("workload", "pass", "speedup", "kernel us", "baseline us", "speed of light", "A/A noise")
    return Table(
        titles,
        tuple(
            (
                shown(m.workload),
                m.passes,
                format_interval(m.speedup, m.low, m.high),
                format_us(m.candidate_us),
                format_us(m.baseline_us),
                f"{m.speed_of_light_us / m.candidate_us:.0%}",
                f"{m.noise:.1%}",
            )
            for m in verdict.measurements
        ),
    )


def _domain(verdict: Verdict) -> str:
    entries = []
    for entry, axes in sorted(verdict.domain.items()):
        entries.append(f"{entry}: " + ", ".join(f"{axis} {low}-{high}" for axis, (low, high) in axes.items()))
    return "; ".join(entries) or "-"


def seeds_of(folder: TargetFolder | None, language: str) -> dict[str, str]:
    return folder.seeds(language) if folder is not None else {}


def unkept(kernels: Sequence[Kernel], digest: str) -> bool:
    return all(kernel.digest != digest for kernel in kernels)
