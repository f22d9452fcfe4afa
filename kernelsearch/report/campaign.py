"""A campaign as its JSON tells it: what changed on each target, what it cost, and what a training step gained."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelsearch.report.text import foreign, format_interval, format_ratio

REASONS = {
    "budget": "the budget is spent",
    "exhausted": "there is nothing left to try",
    "interrupted": "interrupted",
}


def render_campaign(answer: Mapping[str, Any]) -> RenderableType:
    """What was done on each target, the one that takes most of the step first."""
    head = f"{answer['seconds'] / 60:.1f} minutes of search on {answer['config']}: {REASONS[answer['reason']]}."
    return Group(Text(""), Text(head, "bold"), _targets(answer["targets"]), Text(_sum_up(answer)))


def render_step(step: Mapping[str, Any]) -> RenderableType:
    """The training step in its three modes."""
    title = f"a training step of {step['config']}: {len(step['seeds'])} seeds as given, {len(step['kernels'])} kernels"
    table = Table(
        "mode", "steps", "ms", "against the seeds as given", box=None, pad_edge=False, title=title, title_justify="left"
    )
    for mode in step["modes"]:
        interval = format_interval(mode["speedup"], mode["low"], mode["high"])
        row = (mode["name"], str(mode["steps"]), f"{1e3 * mode['step_s']:.1f}")
        table.add_row(*row, interval if mode["name"] != "seeds" else "1")
    return Group(Text(""), table)


def _targets(targets: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("target")
    for title in (
        "step",
        "ms eager",
        "ms now",
        "least",
        "seeds",
        "kept, judged again",
        "trials",
        "s",
        "s per us saved",
    ):
        table.add_column(title, justify="right")
    for name, target in targets.items():
        kept, cost = target["kept"] or {}, target["seconds_per_us"]
        table.add_row(
            foreign(name),
            f"{target['share']:.1%}",
            f"{target['eager_us'] / 1000:.2f}",
            f"{target['current_us'] / 1000:.2f}",
            f"{target['light_us'] / 1000:.2f}",
            format_ratio(target["seeds"]),
            format_interval(kept.get("speedup"), kept.get("low"), kept.get("high")),
            str(target["trials"]),
            f"{target['seconds']:.0f}",
            "-" if cost is None else f"{cost:.3f}",
        )
    return table


def _sum_up(answer: Mapping[str, Any]) -> str:
    targets, cost = answer["targets"].values(), answer["cost"]
    kept = sum(target["kept"] is not None for target in targets)
    seeds = sum(target["seeds"] is not None for target in targets)
    unsettled = [name for name, target in answer["targets"].items() if target["seeds"] and not target["is_settled"]]
    text = (
        f"{kept} of {len(targets)} targets have a kernel of this campaign; of {seeds} a seed was accepted as given. "
        f"Spans and their parts overlap."
    )
    if unsettled:
        names = ", ".join(unsettled)
        text += f"\nNot judged again, for want of time or because a span or its parts save more: {names}."
    if cost["seconds_per_us"] is not None:
        saved = f"{cost['saved_us'] / 1000:.1f} ms of a step"
        text += f"\nThe kernels kept save {saved}: {cost['seconds_per_us']:.4f} s of search a microsecond"
        if cost["calls"]:
            money = "price not known" if cost["usd"] is None else f"{cost['usd']:.4f} USD"
            each = f", {cost['usd_per_us']:.7f} a microsecond" if cost["usd_per_us"] else ""
            text += f"; {cost['calls']} calls of a model, {money}{each}"
        text += "."
    return text
