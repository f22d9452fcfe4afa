"""Whether to train with these kernels: the races, recorded and of this ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from kernelsearch.ledger import Line
from kernelsearch.report.race import answer, judge_equality, sample_steps
from kernelsearch.report.results import Device
from kernelsearch.report.table import Table
from kernelsearch.report.text import format_bytes, format_interval

SIDES = ("baseline", "promoted")


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
        for name in SIDES:
            side = self.body[name]
            bpb = "-" if side["val_bpb"] is None else f"{side['val_bpb']:.4f}"
            speed = "-" if side["tokens_per_second"] is None else f"{side['tokens_per_second']:.0f}"
            memory = format_bytes(side.get("peak_bytes"))
            rows.append((name, f"{side['seconds']:.1f}", str(side["steps"]), speed, bpb, memory))
        titles = ("side", "training seconds", "steps", "tokens/s", "bits per byte", "peak memory")
        return Table(titles, tuple(rows), f"Race: {self.title}")

    @property
    def interval(self) -> str:
        return format_interval(self.body["speedup"], self.body["low"], self.body["high"])

    @cached_property
    def curve(self) -> tuple[Mapping[str, Any], ...]:
        """One row a side and step with loss and seconds since the start; empty where the curves were not kept."""
        curves, rows = self.body.get("curves") or {}, []
        for side in (side for side in SIDES if curves.get(side, {}).get("loss")):
            seconds = accumulate(curves[side]["step_seconds"])
            for step, (loss, spent) in enumerate(zip(curves[side]["loss"], seconds, strict=False), start=1):
                rows.append({"name": side, "step": step, "seconds": round(spent, 3), "loss": loss})
        return tuple(rows)

    @property
    def curve_words(self) -> str:
        gap = self.body.get("max_loss_gap")
        apart = "not known" if gap is None else f"{gap:.3g}"
        return (
            f"Same seed, same data. Against steps the two curves lie on each other (largest difference {apart}); "
            f"against seconds the promoted side is {'ahead' if self.is_won else 'not ahead beyond doubt'}."
        )

    @property
    def curve_table(self) -> Table:
        """Both sides at every tenth step."""
        steps = {row["step"] for row in self.curve}
        return self._at(step for step in sorted(steps) if step in (1, max(steps)) or step % 10 == 0)

    @property
    def short_curve(self) -> Table:
        """Both sides at a few steps, as far apart as they can be."""
        steps = sorted({row["step"] for row in self.curve})
        return self._at(steps[index] for index in sample_steps(len(steps))[1::2])

    def _at(self, steps: Iterable[int]) -> Table:
        found = {(row["name"], row["step"]): row for row in self.curve}
        cells = []
        for step in steps:
            sides = (found.get((side, step)) for side in SIDES)
            pairs = ((_number(row, "loss", ".4f"), _number(row, "seconds", ".1f")) for row in sides)
            cells.append((str(step), *(text for pair in pairs for text in pair)))
        titles = ("step", "baseline loss", "baseline s", "promoted loss", "promoted s")
        return Table(titles, tuple(cells), "Loss against steps and against seconds")


def recorded_races(devices: Sequence[Device]) -> tuple[Race, ...]:
    return tuple(Race(device.name, d.date, d.body) for device in devices for d in device.of("race"))


def ledger_races(lines: Sequence[Line]) -> tuple[Race, ...]:
    """Races in the ledger, the newest first; they have no curves."""
    return tuple(Race("this ledger", line.time, line.body) for line in reversed(lines) if line.kind == "race")


def _number(row: Mapping[str, Any] | None, key: str, spec: str) -> str:
    return "-" if row is None or row[key] is None else format(row[key], spec)
