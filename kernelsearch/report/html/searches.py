"""A search, drawn: what it found when, and where its candidates ended."""

from collections import Counter
from typing import Any

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Plot
from kernelsearch.report.searches import Judged, Search, best_so_far, reached
from kernelsearch.report.table import Table
from kernelsearch.report.text import format_interval, format_ratio


def draw_progress(search: Search, name: str) -> Figure:
    """Best so far against trials and against time, one line a proposer."""
    points = [_point(trial) for trial in search.trials if trial.low is not None]
    steps = [row for proposer in search.proposers for row in best_so_far(search, proposer)]
    rows = tuple(
        (row["name"], str(row["trial"]), f"{row['seconds']:.0f}", format_ratio(row["low"]))
        for row in steps
        if not row["is_end"]
    )
    ends = [(proposer, reached(steps, proposer)) for proposer in search.proposers]
    words = [f"{p} reached {format_ratio(low)}" if low is not None else f"{p} timed nothing new" for p, low in ends]
    summary = "; ".join(words)
    plots = tuple(
        Plot(charts.progress(points, steps, search.proposers, x, title))
        for x, title in (("trial", "trials of the proposer"), ("seconds", "seconds of searching"))
    )
    title = "Best so far, against trials and against time"
    return Figure(name, title, f"{summary}.", plots, Table(("proposer", "trial", "seconds", "best low"), rows))


def _point(trial: Judged) -> dict[str, Any]:
    ratio = format_interval(trial.verdict["speedup"], trial.verdict["low"], trial.verdict["high"])
    label = f"{trial.proposer} {trial.number}: {trial.name}, {trial.outcome} {ratio}"
    return {"name": trial.proposer, "trial": trial.number, "seconds": trial.seconds, "low": trial.low, "label": label}


def draw_outcomes(search: Search, name: str) -> Figure:
    """How many candidates ended where."""
    found = Counter(trial.outcome for trial in search.trials)
    rows = [
        {"name": outcome, "count": number, "is_good": outcome == "accepted", "label": f"{outcome}: {number}"}
        for outcome, number in sorted(found.items(), key=lambda item: (item[0] != "accepted", -item[1], item[0]))
    ]
    summary = ", ".join(f"{row['count']} {row['name']}" for row in rows) or "No verdict yet"
    table = Table(("outcome", "candidates"), tuple((str(row["name"]), str(row["count"])) for row in rows))
    return Figure(name, "Verdicts by gate", f"{summary}.", (Plot(charts.bars(rows, "candidates")),), table)
