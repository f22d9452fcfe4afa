"""Whether to train with these kernels: the race, in one answer and in two drawings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from kernelsearch.ledger import Line
from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Plot, Table
from kernelsearch.report.html.results import Device
from kernelsearch.report.race import answer, judge_equality
from kernelsearch.report.text import format_bytes, format_interval


@dataclass(frozen=True)
class Race:
    """One race; `where` names the device or the ledger it is recorded in."""

    where: str
    date: str
    body: Mapping[str, Any]

    @property
    def is_won(self) -> bool:
        body = self.body
        is_same = body["equality"] in ("bitwise", "within-noise")
        return not body.get("void") and is_same and body["low"] is not None and body["low"] > 1.0

    @property
    def words(self) -> str:
        return f"{answer(self.body)} {judge_equality(self.body)}"

    @property
    def title(self) -> str:
        goal = self.body.get("target_bpb")
        to = f" to {goal:g} bits per byte" if goal is not None else ""
        return f"{self.body['config']}{to}, {self.where}, {self.date[:10]}"

    @property
    def headline(self) -> str:
        if self.is_won:
            return f"Yes: training got to the same loss {self.body['speedup']:.2f}x sooner."
        if self.body.get("void"):
            return "Not known: the last race is void."
        if self.body["low"] is not None and self.body["low"] > 1.0:
            return "No: training was faster, but its loss was not the same."
        return "No: nothing was gained beyond doubt."

    @property
    def sides(self) -> Table:
        rows = []
        for name in ("baseline", "promoted"):
            side = self.body[name]
            bpb = "-" if side["val_bpb"] is None else f"{side['val_bpb']:.4f}"
            speed = "-" if side["tokens_per_second"] is None else f"{side['tokens_per_second']:.0f}"
            memory = format_bytes(side.get("peak_bytes"))
            rows.append((name, f"{side['seconds']:.1f}", str(side["steps"]), speed, bpb, memory))
        titles = ("side", "training seconds", "steps", "tokens/s", "bits per byte", "peak memory")
        return Table(titles, tuple(rows))

    @property
    def interval(self) -> str:
        return format_interval(self.body["speedup"], self.body["low"], self.body["high"])


def recorded_races(devices: Sequence[Device]) -> tuple[Race, ...]:
    return tuple(Race(device.name, d.date, d.body) for device in devices for d in device.of("race"))


def ledger_races(lines: Sequence[Line]) -> tuple[Race, ...]:
    """Races in the ledger, the newest first; they have no curves."""
    return tuple(Race("this ledger", line.time, line.body) for line in reversed(lines) if line.kind == "race")


def draw_race(race: Race, name: str) -> Figure | None:
    """Loss against steps and against seconds, both sides; None where the curves were not kept."""
    curves = race.body.get("curves") or {}
    sides = [side for side in ("baseline", "promoted") if curves.get(side, {}).get("loss")]
    rows: list[dict[str, Any]] = []
    for side in sides:
        seconds = accumulate(curves[side]["step_seconds"])
        for step, (loss, spent) in enumerate(zip(curves[side]["loss"], seconds, strict=False), start=1):
            rows.append({"name": side, "step": step, "seconds": round(spent, 3), "loss": loss})
    if not rows:
        return None
    gap = race.body.get("max_loss_gap")
    apart = "not known" if gap is None else f"{gap:.3g}"
    summary = (
        f"Same seed, same data. Against steps the two curves lie on each other (largest difference {apart}); against "
        f"seconds the promoted side is {'ahead' if race.is_won else 'not ahead beyond doubt'}."
    )
    plots = tuple(Plot(charts.losses(rows, x, x)) for x in ("step", "seconds"))
    return Figure(name, "The race: loss against steps and against seconds", summary, plots, _curve_table(rows))


def _curve_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    by_step: dict[int, dict[str, Any]] = {}
    for row in rows:
        by_step.setdefault(row["step"], {})[row["name"]] = row
    chosen = [step for step in by_step if step == 1 or step % 10 == 0 or step == max(by_step)]
    cells = []
    for step in chosen:
        pair = [by_step[step].get(side) for side in ("baseline", "promoted")]
        shown = [text for row in pair for text in (_number(row, "loss", ".4f"), _number(row, "seconds", ".1f"))]
        cells.append((str(step), *shown))
    titles = ("step", "baseline loss", "baseline s", "promoted loss", "promoted s")
    return Table(titles, tuple(cells))


def _number(row: Mapping[str, Any] | None, key: str, spec: str) -> str:
    return "-" if row is None or row[key] is None else format(row[key], spec)
