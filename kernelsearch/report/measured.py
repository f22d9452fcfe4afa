"""Recorded measurements: kernels against every rival and the speed of light, and whole training steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelsearch.report.results import Document
from kernelsearch.report.table import Table
from kernelsearch.report.text import format_bytes, format_interval, format_us, shown
from kernelsearch.spec import TargetFolder, Work

Row = Mapping[str, Any]
STEP_TITLES = ("configuration", "mode", "ms a step", "tokens/s", "against eager", "peak memory")


def kernel_rows(bench: Document) -> list[Row]:
    """The rows of a bench that measured a kernel."""
    return [row for row in bench.body["results"] if row.get("kernel")]


def strongest_rival(row: Row) -> str | None:
    """The rival besides eager PyTorch that the kernel gains least on."""
    others = {name: versus for name, versus in row["vs"].items() if name != "eager"}
    return min(others, key=lambda name: others[name]["speedup"], default=None)


def worst(rows: Iterable[Row]) -> tuple[Row, str] | None:
    """Of all rows and rivals, eager PyTorch among them, where the kernel stands worst."""
    found = [(row, rival) for row in rows for rival in row["vs"]]
    return min(found, key=lambda pair: pair[0]["vs"][pair[1]]["speedup"], default=None)


def rows_behind(rows: Iterable[Row]) -> list[str]:
    """Where some rival is as fast or faster, or cannot be told apart: the interval reaches below 1."""
    return [name_row(row) for row in rows if any(versus["low"] < 1.0 for versus in row["vs"].values())]


def name_row(row: Row) -> str:
    workload = str(row["workload"]).partition("/")[2] or str(row["workload"])
    passes = "" if row["pass"] == "forward" else " f+b"
    dtype = "" if row["dtype"] == "float32" else f" {row['dtype']}"
    return shown(f"{workload}{passes}{dtype}")


def say_rivals(rows: Sequence[Row]) -> str:
    ahead = len(rows) - len(rows_behind(rows))
    return (
        f"In {ahead} of {len(rows)} rows the kernel is ahead of every rival measured, its whole 95% interval above 1. "
        "f+b is forward and backward together."
    )


def rivals_table(rows: Sequence[Row]) -> Table:
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
    return Table(titles, tuple(cells), "Kernels against what else there is")


def say_light(rows: Sequence[Row]) -> str:
    near = sum(row["speed_of_light"] >= 0.5 for row in rows)
    return f"{near} of {len(rows)} rows run at half the speed of light or more."


def light_table(rows: Sequence[Row], folders: Mapping[str, TargetFolder]) -> Table:
    titles = ("workload", "pass", "operations a byte", "kernel us", "least us", "of speed of light")
    cells = tuple(_light_cells(row, work_of(row, folders)) for row in rows)
    return Table(titles, cells, "Distance to the speed of light")


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


def _light_cells(row: Row, work: Work | None) -> tuple[str, ...]:
    intensity = "-" if work is None else f"{work.flops / work.bytes:.3g}"
    us, share = row["us"]["kernel"], row["speed_of_light"]
    return (shown(row["workload"]), row["pass"], intensity, format_us(us), format_us(us * share), f"{share:.0%}")


def say_steps(steps: Sequence[Document]) -> str:
    fastest = ", ".join(f"{d.about}: {d.body['fastest']}" for d in steps if d.body.get("fastest"))
    return f"A training step, fastest mode: {fastest or 'not yet measured'}."


def steps_table(steps: Sequence[Document]) -> Table:
    """Training steps of every configuration and mode, against eager PyTorch."""
    cells = tuple(_step_cells(name_step(step), mode) for step in steps for mode in step.body["modes"])
    return Table(STEP_TITLES, cells, "A training step")


def name_step(step: Document) -> str:
    return shown(f"{step.body['config']}{'' if step.body.get('keeps_memory', True) else ', stock malloc'}")


def _step_cells(about: str, mode: Row) -> tuple[str, ...]:
    return (
        about,
        shown(mode["name"]),
        f"{1e3 * mode['step_s']:.0f}",
        f"{mode['tokens_per_second']:.0f}",
        format_interval(mode["speedup"], mode["low"], mode["high"]),
        format_bytes(mode["peak_bytes"]),
    )
