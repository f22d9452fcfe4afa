"""Recorded measurements as figures: kernels against every rival and the speed of light, and whole training steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Table
from kernelsearch.report.html.results import Document
from kernelsearch.report.text import format_bytes, format_interval, format_us, shown
from kernelsearch.spec import TargetFolder, Work

EAGER = "eager PyTorch"
OTHER = "strongest other"
Row = Mapping[str, Any]


def kernel_rows(bench: Document) -> list[Row]:
    """The rows of a bench that measured a kernel."""
    return [row for row in bench.body["results"] if row.get("kernel")]


def strongest_rival(row: Row) -> str | None:
    others = {name: versus for name, versus in row["vs"].items() if name != "eager"}
    return min(others, key=lambda name: others[name]["speedup"], default=None)


def rows_behind(rows: Iterable[Row]) -> list[str]:
    """Where some rival is as fast or faster, or cannot be told apart: the interval reaches below 1."""
    return [name_row(row) for row in rows if any(versus["low"] < 1.0 for versus in row["vs"].values())]


def name_row(row: Row) -> str:
    workload = str(row["workload"]).partition("/")[2] or str(row["workload"])
    passes = "" if row["pass"] == "forward" else " f+b"
    dtype = "" if row["dtype"] == "float32" else f" {row['dtype']}"
    return shown(f"{workload}{passes}{dtype}")


def draw_rivals(rows: Sequence[Row], name: str) -> Figure:
    """Every measured row against eager PyTorch and against its strongest other rival."""
    marks = []
    for row in rows:
        rival = strongest_rival(row)
        for title, key in ((EAGER, "eager"), (OTHER, rival)):
            if key is not None and key in row["vs"]:
                marks.append(_mark(name_row(row), title, key, row["vs"][key]))
    ahead = len(rows) - len(rows_behind(rows))
    summary = (
        f"In {ahead} of {len(rows)} rows the kernel is ahead of every rival measured, its whole 95% interval above 1. "
        "f+b is forward and backward together."
    )
    plot = charts.forest(marks, (EAGER, OTHER), "times as fast as the rival, 95% interval")
    return Figure(name, "Kernels against what else there is", summary, (plot,), _rivals_table(rows))


def draw_target_rivals(rows: Sequence[Row], name: str) -> Figure:
    """One target's kernel against every rival, one line each."""
    marks = [_mark(f"{name_row(row)}: {shown(k)}", "kernel", k, v) for row in rows for k, v in row["vs"].items()]
    behind = sum(mark["low"] < 1.0 for mark in marks)
    summary = f"{len(marks) - behind} of {len(marks)} comparisons have their whole 95% interval above 1."
    plot = charts.small_forest(marks, ("kernel",), "times as fast as the rival")
    return Figure(name, "Against every rival", summary, (plot,), _rivals_table(rows))


def _mark(label: str, title: str, key: str, versus: Row) -> dict[str, Any]:
    interval = format_interval(versus["speedup"], versus["low"], versus["high"])
    return {**versus, "label": label, "name": title, "text": f"{label} against {shown(key)}: {interval}"}


def _rivals_table(rows: Sequence[Row]) -> Table:
    titles = ("workload", "pass", "rival", "kernel us", "rival us", "times as fast")
    cells = [
        (
            shown(row["workload"]),
            row["pass"],
            shown(key),
            format_us(row["us"]["kernel"]),
            format_us(row["us"][key]),
            format_interval(versus["speedup"], versus["low"], versus["high"]),
        )
        for row in rows
        for key, versus in row["vs"].items()
    ]
    return Table(titles, tuple(cells))


def draw_roofline(rows: Sequence[Row], folders: Mapping[str, TargetFolder], name: str) -> Figure | None:
    """How far each kernel is from what its least work allows; None where no row has operations to count.

    The roof of a row is its own: the recorded share of the speed of light, at the bandwidth of its footprint.
    """
    points, roofs, cells = [], [], []
    for row in rows:
        work = work_of(row, folders)
        share = row["speed_of_light"]
        counted = work is not None and work.flops > 0 and share > 0
        cells.append(_light_cells(row, work, share))
        if work is None or not counted:
            continue
        reached, intensity = _rate(work, row["us"]["kernel"]), work.flops / work.bytes
        roofs.append({"intensity": intensity, "reached": reached, "possible": reached / share})
        points.append(_point(row, "kernel", intensity, reached, f"{share:.0%} of the speed of light"))
        if "eager" in row["us"]:
            eager = _rate(work, row["us"]["eager"])
            points.append(
                _point(row, "eager", intensity, eager, f"{eager / reached * share:.0%} of the speed of light")
            )
    if not points:
        return None
    near = sum(row["speed_of_light"] >= 0.5 for row in rows)
    summary = (
        f"{near} of {len(rows)} rows run at half the speed of light or more. A tick is what the device could do with "
        "the row's least work: the slower of its arithmetic and its compulsory bytes. Above 100%, the peak was "
        "measured low."
    )
    titles = ("workload", "pass", "operations a byte", "kernel us", "least us", "of speed of light")
    return Figure(
        name, "Distance to the speed of light", summary, (charts.roofline(points, roofs),), Table(titles, tuple(cells))
    )


def work_of(row: Row, folders: Mapping[str, TargetFolder]) -> Work | None:
    """The least work of a measured row, from the contract of the target whose entry it names; None for a stranger."""
    for folder in folders.values():
        if row["target"] in {entry.name for entry in folder.target.entries}:
            entry = folder.target.entry(row["target"])
            for workload in folder.workloads(None, row["dtype"]):
                if (workload.name, workload.entry) == (row["workload"], entry.name):
                    backward = row["pass"] != "forward"
                    return entry.work(workload.sizes, workload.parameters, workload.dtype, backward=backward)
    return None


def _rate(work: Work, us: float) -> float:
    return work.flops / us / 1e3


def _point(row: Row, side: str, intensity: float, reached: float, words: str) -> dict[str, Any]:
    return {"name": side, "intensity": intensity, "reached": reached, "text": f"{name_row(row)}, {side}: {words}"}


def _light_cells(row: Row, work: Work | None, share: float) -> tuple[str, ...]:
    intensity = "-" if work is None else f"{work.flops / work.bytes:.3g}"
    us = row["us"]["kernel"]
    return (shown(row["workload"]), row["pass"], intensity, format_us(us), format_us(us * share), f"{share:.0%}")


def draw_steps(documents: Sequence[Document], name: str) -> Figure | None:
    """Training steps of every configuration and mode, against eager PyTorch."""
    marks, cells = [], []
    for document in documents:
        body = document.body
        about = f"{body['config']}{'' if body.get('keeps_memory', True) else ', stock malloc'}"
        for mode in body["modes"]:
            cells.append(_step_cells(about, mode))
            if mode["name"] != "eager":
                marks.append(_mark(shown(f"{about}: {mode['name']}"), "step", "eager", _interval(mode)))
    if not marks:
        return None
    fastest = ", ".join(f"{d.about}: {d.body['fastest']}" for d in documents if d.body.get("fastest"))
    plot = charts.forest(marks, ("step",), "times as fast as a step of eager PyTorch")
    titles = ("configuration", "mode", "ms a step", "tokens/s", "against eager", "peak memory")
    return Figure(name, "A training step", f"Fastest mode: {fastest}.", (plot,), Table(titles, tuple(cells)))


def _interval(mode: Row) -> dict[str, Any]:
    return {key: mode[key] for key in ("speedup", "low", "high")}


def _step_cells(about: str, mode: Row) -> tuple[str, ...]:
    return (
        shown(about),
        shown(mode["name"]),
        f"{1e3 * mode['step_s']:.0f}",
        f"{mode['tokens_per_second']:.0f}",
        format_interval(mode["speedup"], mode["low"], mode["high"]),
        format_bytes(mode["peak_bytes"]),
    )
