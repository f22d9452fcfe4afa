"""A race as its JSON tells it: two curves, seconds to the target, what each kernel did, and the plain answer."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelsearch.report.text import foreign, format_bytes, format_interval

CURVE_ROWS = 10
BAR_WIDTH = 20


def render_race(result: Mapping[str, Any]) -> RenderableType:
    """What `kernelsearch race` shows of the document it writes with --json."""
    target = result["target_bpb"]
    goal = "" if target is None else f" to {target:g} bits per byte"
    parts: list[RenderableType] = [foreign(f"Race on {result['config']}{goal}", "bold"), _sides(result)]
    curves = result.get("curves", {})
    if any(curve["loss"] for curve in curves.values()):
        parts += [Text(""), _curves(curves)]
    if result.get("launches"):
        parts += [Text(""), _kernels(result)]
    parts += [Text(""), foreign(answer(result), "bold"), foreign(judge_equality(result))]
    return Group(*parts)


def answer(result: Mapping[str, Any]) -> str:
    """Whether training gained anything, in one or two sentences."""
    speedup, low, high, reason = result["speedup"], result["low"], result["high"], result.get("reason")
    if result.get("void"):
        return f"Void: {reason}. This race says nothing about the kernels."
    if speedup is None or low is None or high is None:
        return f"Nothing was gained: {reason or 'the promoted side has no speedup'}."
    interval = format_interval(speedup, low, high)
    if low > 1.0:
        return f"Promoted kernels got there sooner: {interval}."
    if high < 1.0:
        return f"Nothing was gained: promoted kernels took longer, {interval}."
    return f"Nothing was gained beyond doubt: {interval} includes 1."


def judge_equality(result: Mapping[str, Any]) -> str:
    gap, bpb_gap, band = result["max_loss_gap"], result.get("bpb_gap"), result.get("band")
    size = "unknown, a loss was not finite" if gap is None else f"{gap:.3g} at most"
    if bpb_gap is not None:
        size += f", bits per byte at the end {bpb_gap:.2g}"
    limits = "no band is recorded for this configuration" if "band" in result else "outside the band, or there is none"
    if band is not None:
        limits = f"equal runs differ by up to {band['max_loss_gap']:.3g} and {band['bpb_gap']:.2g}"
    return {
        "bitwise": "Losses are bitwise equal at every step that both sides made.",
        "within-noise": f"Losses differ as two equal runs do: {size}.",
    }.get(result["equality"], f"Losses differ: {size}; {limits}.")


def _sides(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("side")
    for title in ("training seconds", "steps", "tokens", "tokens/s", "bits per byte", "peak memory"):
        table.add_column(title, justify="right")
    for name in ("baseline", "promoted"):
        side = result[name]
        table.add_row(
            Text(name),
            Text(f"{side['seconds']:.1f}"),
            Text(str(side["steps"])),
            Text(f"{side['tokens']:,}"),
            Text(_number(side["tokens_per_second"], ",.0f")),
            Text(_number(side["val_bpb"], ".4f")),
            Text(format_bytes(side.get("peak_bytes"))),
        )
    return table


def _curves(curves: Mapping[str, Mapping[str, Any]]) -> Table:
    """Loss against steps, with each side's seconds at that step; the bars span the losses shown."""
    losses = {name: curves[name]["loss"] for name in ("baseline", "promoted")}
    seconds = {name: list(accumulate(curves[name]["step_seconds"])) for name in losses}
    steps = sample_steps(max(len(values) for values in losses.values()))
    drawn = [v[s] for v in losses.values() for s in steps if s < len(v) and v[s] is not None]
    table = Table(box=None, pad_edge=False)
    table.add_column("step", justify="right")
    for name in losses:
        table.add_column(f"{name} loss", justify="right")
        table.add_column("", width=BAR_WIDTH)
        table.add_column("seconds", justify="right")
    for step in steps:
        cells = [Text(str(step + 1))]
        for name, values in losses.items():
            loss = values[step] if step < len(values) else None
            bar = "" if loss is None else draw_bar(loss, min(drawn), max(drawn))
            spent = seconds[name][step] if step < len(values) else None
            cells += [Text(_number(loss, ".4f")), Text(bar), Text(_number(spent, ".1f"))]
        table.add_row(*cells)
    return table


def sample_steps(count: int) -> list[int]:
    """At most CURVE_ROWS step numbers from 0 to count - 1, evenly spaced, the last one among them."""
    rows = min(CURVE_ROWS, count)
    return [count * (row + 1) // rows - 1 for row in range(rows)]


def draw_bar(value: float, low: float, high: float) -> str:
    """One mark for `low`, BAR_WIDTH marks for `high`."""
    share = (value - low) / (high - low) if high > low else 1.0
    return "#" * (1 + round(share * (BAR_WIDTH - 1)))


def _kernels(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("kernel", "launches", "fallbacks"):
        table.add_column(title)
    for entry, launches in result["launches"].items():
        fallbacks = result["fallbacks"].get(entry, {})
        table.add_row(foreign(entry), foreign(_counts(launches)), foreign(_counts(fallbacks)))
    return table


def _counts(counts: Mapping[str, int] | int) -> str:
    if isinstance(counts, int):
        return f"{counts:,}"
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
