"""A ledger's rows as tables: for the terminal and as Markdown. Both show the same cells."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelsearch.report.markdown import fold, markdown_table
from kernelsearch.report.rows import BestRow, LedgerReport, StudyRow
from kernelsearch.report.text import count, foreign, format_interval, format_ratio

BEST_TITLES = ("target", "dtype", "workloads", "kernel", "language", "speedup", "accepted", "confirmed", "judged")
STUDY_TITLES = ("started", "target", "dtype", "workloads", "proposers", "trials", "judged", "best low", "ended")


def render_ledger(report: LedgerReport) -> RenderableType:
    """What `kernelsearch report` shows."""
    parts: list[RenderableType] = [foreign(summarise_ledger(report))]
    if report.best:
        parts += [Text(""), Text("Best of each target", "bold"), _table(BEST_TITLES, map(best_cells, report.best))]
    if report.studies:
        parts += [Text(""), Text("Studies", "bold"), _table(STUDY_TITLES, map(study_cells, report.studies))]
    return Group(*parts)


def write_markdown(report: LedgerReport) -> str:
    """The same as Markdown, for a step summary or a comment: what was found first, the studies folded."""
    parts = ["# kernelsearch report", answer_ledger(report), summarise_ledger(report)]
    if report.best:
        parts += ["## Best of each target", markdown_table(BEST_TITLES, [best_cells(row) for row in report.best])]
    if report.studies:
        studies = markdown_table(STUDY_TITLES, [study_cells(row) for row in report.studies])
        parts.append(fold(f"Studies ({len(report.studies)})", studies))
    return "\n\n".join(parts) + "\n"


def answer_ledger(report: LedgerReport) -> str:
    """The verdict in one line: how many targets have a kernel that is proven faster."""
    won = {row.target for row in report.best if row.is_accepted}
    searched = {row.target for row in report.best}
    faster = f"Proven faster: {', '.join(sorted(won))}" if won else "No kernel is proven faster yet"
    return f"**{faster}** ({len(won)} of {count(len(searched), 'target', 'targets')} with a timed kernel)."


def summarise_ledger(report: LedgerReport) -> str:
    statuses = ", ".join(f"{status} {count}" for status, count in report.statuses.items())
    trials, studies = count(report.trials, "trial", "trials"), count(len(report.studies), "study", "studies")
    return f"{trials} in {studies}, the chain holds. {statuses or 'No trial yet'}."


def best_cells(row: BestRow) -> tuple[str, ...]:
    bound = " ".join(f"{name}={value}" for name, value in sorted(row.tunables.items()))
    kernel = " ".join(part for part in (row.candidate[:12], row.origin, bound) if part)
    interval = format_interval(row.speedup, row.low, row.high)
    accepted, confirmed = ("yes" if is_true else "no" for is_true in (row.is_accepted, row.is_confirmed))
    return (row.target, row.dtype, row.workloads, kernel, row.language, interval, accepted, confirmed, row.time[:16])


def study_cells(row: StudyRow) -> tuple[str, ...]:
    proposers, best = ", ".join(row.proposers), format_ratio(row.best_low)
    counts = (str(row.trials), str(row.judged))
    return (row.time[:16], row.target, row.dtype, row.workloads, proposers, *counts, best, row.ended)


def _table(titles: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title)
    for cells in rows:
        table.add_row(*[foreign(cell) for cell in cells])
    return table
