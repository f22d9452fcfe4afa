"""Recorded measurements, drawn: kernels against every rival and the speed of light, and whole training steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure
from kernelsearch.report.measured import (
    Row,
    light_table,
    name_row,
    name_step,
    rivals_table,
    say_light,
    say_rivals,
    say_steps,
    steps_table,
    strongest_rival,
    work_of,
)
from kernelsearch.report.results import Document
from kernelsearch.report.text import format_interval, shown
from kernelsearch.spec import TargetFolder, Work

EAGER = "eager PyTorch"
OTHER = "strongest other"


def draw_rivals(rows: Sequence[Row], name: str) -> Figure:
    """Every measured row against eager PyTorch and against its strongest other rival."""
    marks = []
    for row in rows:
        rival = strongest_rival(row)
        for title, key in ((EAGER, "eager"), (OTHER, rival)):
            if key is not None and key in row["vs"]:
                marks.append(_mark(name_row(row), title, key, row["vs"][key]))
    plot = charts.forest(marks, (EAGER, OTHER), "times as fast as the rival, 95% interval")
    return Figure(name, "Kernels against what else there is", say_rivals(rows), (plot,), rivals_table(rows))


def draw_target_rivals(rows: Sequence[Row], name: str) -> Figure:
    """One target's kernel against every rival, one line each."""
    marks = [_mark(f"{name_row(row)}: {shown(k)}", "kernel", k, v) for row in rows for k, v in row["vs"].items()]
    behind = sum(mark["low"] < 1.0 for mark in marks)
    summary = f"{len(marks) - behind} of {len(marks)} comparisons have their whole 95% interval above 1."
    plot = charts.small_forest(marks, ("kernel",), "times as fast as the rival")
    return Figure(name, "Against every rival", summary, (plot,), rivals_table(rows))


def _mark(label: str, title: str, key: str, versus: Row) -> dict[str, Any]:
    interval = format_interval(versus["speedup"], versus["low"], versus["high"])
    return {**versus, "label": label, "name": title, "text": f"{label} against {shown(key)}: {interval}"}


def draw_roofline(rows: Sequence[Row], folders: Mapping[str, TargetFolder], name: str) -> Figure | None:
    """How far each kernel is from what its least work allows; None where no row has operations to count.

    The roof of a row is its own: the recorded share of the speed of light, at the bandwidth of its footprint.
    """
    points, roofs = [], []
    for row in rows:
        work, share = work_of(row, folders), row["speed_of_light"]
        if work is None or work.flops <= 0 or share <= 0:
            continue
        reached, intensity = _rate(work, row["us"]["kernel"]), work.flops / work.bytes
        roofs.append({"intensity": intensity, "reached": reached, "possible": reached / share})
        points.append(_point(row, "kernel", intensity, reached, f"{share:.0%} of the speed of light"))
        if "eager" in row["us"]:
            eager = _rate(work, row["us"]["eager"])
            words = f"{eager / reached * share:.0%} of the speed of light"
            points.append(_point(row, "eager", intensity, eager, words))
    if not points:
        return None
    summary = (
        f"{say_light(rows)} A tick is what the device could do with the row's least work: the slower of its arithmetic "
        "and its compulsory bytes. Above 100%, the peak was measured low."
    )
    plot = charts.roofline(points, roofs)
    return Figure(name, "Distance to the speed of light", summary, (plot,), light_table(rows, folders))


def _rate(work: Work, us: float) -> float:
    return work.flops / us / 1e3


def _point(row: Row, side: str, intensity: float, reached: float, words: str) -> dict[str, Any]:
    return {"name": side, "intensity": intensity, "reached": reached, "text": f"{name_row(row)}, {side}: {words}"}


def draw_steps(steps: Sequence[Document], name: str) -> Figure | None:
    """Training steps of every configuration and mode, against eager PyTorch."""
    marks = [
        _mark(f"{name_step(step)}: {shown(mode['name'])}", "step", "eager", _interval(mode))
        for step in steps
        for mode in step.body["modes"]
        if mode["name"] != "eager"
    ]
    if not marks:
        return None
    plot = charts.forest(marks, ("step",), "times as fast as a step of eager PyTorch")
    return Figure(name, "A training step", say_steps(steps), (plot,), steps_table(steps))


def _interval(mode: Row) -> dict[str, Any]:
    return {key: mode[key] for key in ("speedup", "low", "high")}
