"""Trends, drawn: what was recorded more than once, its first run beside its last."""

from collections.abc import Sequence

from kernelsearch.report.history import Series, history_table, repeated
from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure
from kernelsearch.report.text import format_interval, shown


def draw_history(series: Sequence[Series], name: str) -> Figure | None:
    """Ratios of the first and the last run with their intervals; None where nothing was measured twice."""
    found = repeated(series)
    if not found:
        return None
    several = len({one.device for one in found}) > 1
    marks = []
    for one in found:
        label = shown(f"{one.device}: {one.name}" if several else one.name)
        label = label.replace("forward+backward", "f+b").removesuffix(" forward")
        for side, point in (("first run", one.points[0]), ("last run", one.points[-1])):
            text = f"{label}, {point.date}: {format_interval(point.ratio, point.low, point.high)}"
            ends = {"speedup": point.ratio, "low": point.low, "high": point.high}
            marks.append({**ends, "label": f"{one.kind} {label}", "name": side, "text": text})
    plot = charts.forest(marks, ("first run", "last run"), "times as fast as the baseline of its run")
    summary = f"{len(found)} ratios, each to the baseline of its own run. f+b is forward and backward together."
    return Figure(name, "The first run against the last", summary, (plot,), history_table(found))
