"""What other proposers leave in the ledger: calls to models with their cost, and ideas with what they promised.

Both are optional, and written by others: a record that lacks a field is shown without it, never refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kernelsearch.ideas import Entry
from kernelsearch.ledger import Line
from kernelsearch.report.searches import Search
from kernelsearch.report.table import Table
from kernelsearch.report.text import count, format_interval, shown


def list_calls(lines: Sequence[Line]) -> Table | None:
    """Calls, tokens, cost and waiting time by provider and model; None without calls."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        if line.kind == "call":
            key = (str(line.body.get("provider", "-")), str(line.body.get("model", "-")))
            groups.setdefault(key, []).append(line.body)
    if not groups:
        return None
    rows = []
    for (provider, model), calls in sorted(groups.items()):
        waited = sum(_number(call.get("latency")) for call in calls)
        tokens = sum(_tokens(call.get("tokens")) for call in calls)
        rows.append(
            (shown(provider), shown(model), str(len(calls)), f"{tokens:.0f}", f"{_cost(calls):.4f}", f"{waited:.0f}")
        )
    titles = ("provider", "model", "calls", "tokens", "cost", "seconds waited")
    return Table(titles, tuple(rows), "Calls to models")


def price_of_a_microsecond(lines: Sequence[Line], searches: Sequence[Search]) -> str | None:
    """What the calls cost for each microsecond of a training step that accepted kernels save; None without calls."""
    calls = [line.body for line in lines if line.kind == "call"]
    if not calls:
        return None
    cost, saved = _cost(calls), sum(saved_us(search) for search in searches)
    if saved <= 0:
        return f"{cost:.4f} spent, and no accepted kernel yet: no cost per accepted microsecond."
    return (
        f"{cost:.4f} spent for {saved:,.0f} us saved in a training step: {cost / saved:.2g} per accepted microsecond."
    )


def time_of_a_microsecond(searches: Sequence[Search]) -> list[str]:
    """For each group of shapes, what a saved microsecond of its training step cost in time of searching."""
    sentences = []
    for shapes in dict.fromkeys(search.shapes for search in searches):
        own = [search for search in searches if search.shapes == shapes]
        best: dict[str, float] = {}
        for search in own:
            best[search.target] = max(best.get(search.target, 0.0), saved_us(search))
        seconds, saved = sum(search.seconds for search in own), sum(best.values())
        each = f"{seconds / saved:.2g} s per accepted microsecond" if saved > 0 else "nothing accepted yet"
        sentences.append(f"{shapes}: {seconds:,.0f} s of searching, {saved:,.0f} us of a training step saved: {each}.")
    return sentences


def saved_us(search: Search) -> float:
    """Microseconds of a training step that the best accepted kernel of a search saves, by its own measurements."""
    best = search.best
    if best is None or not best.verdict["accepted"]:
        return 0.0
    return float(sum((m["baseline_us"] - m["candidate_us"]) * m["calls"] for m in best.verdict["measurements"]))


NOT_MEASURED = "not yet measured"
IDEA_TITLES = ("target", "idea", "predicted", "measured", "state")


def list_ideas(lines: Sequence[Line], built_in: Sequence[Entry] = ()) -> Table | None:
    """Ideas in order of filing, what they promised beside what was measured; None without ideas."""
    ideas: dict[str, Mapping[str, Any]] = {entry.idea.id: entry.idea.as_json() for entry in built_in}
    ended = {entry.idea.id: entry.outcome for entry in built_in if entry.outcome is not None}
    state = {name: ended[name].outcome if name in ended else "open" for name in ideas}
    measured = {name: _measured(found.measured.as_json()) for name, found in ended.items() if found.measured}
    for line in lines:
        body = line.body
        if not line.kind.startswith("idea"):
            continue
        idea = _mapping(body.get("idea"))
        name = str(body.get("id") or idea.get("id") or line.digest[:12])
        if line.kind == "idea" or (idea and name not in ideas):
            ideas[name] = idea
            state.setdefault(name, "open")
        if line.kind == "idea-claim":
            state[name] = f"claimed by {body.get('worker', '-')}"
        elif line.kind == "idea-release":
            state[name] = "open"
        elif line.kind == "idea-close":
            state[name] = str(body.get("outcome", "closed"))
            measured[name] = _measured(_mapping(body.get("measured")))
    rows = tuple(
        (
            shown(str(idea.get("target", "-"))),
            shown(str(idea.get("text", "-"))),
            _effect(idea.get("predicts")),
            measured.get(name, NOT_MEASURED),
            shown(state[name]),
        )
        for name, idea in ideas.items()
    )
    return Table(IDEA_TITLES, rows, "Ideas") if rows else None


def telling_ideas(ideas: Table, most: int) -> tuple[tuple[str, ...], ...]:
    """A few of them: those that have a figure first, the latest filed before others."""
    latest = ideas.rows[::-1]
    return tuple(sorted(latest, key=lambda row: not row[3].endswith(("]", "more")))[:most])


def count_ideas(ideas: Table) -> str:
    states = Counter("claimed" if row[4].startswith("claimed by ") else row[4] for row in ideas.rows)
    listed = ", ".join(f"{number} {state}" for state, number in states.most_common())
    return f"{count(len(ideas.rows), 'idea', 'ideas')}: {listed}. What was promised stands beside what was measured."


def _effect(value: object) -> str:
    if isinstance(value, Mapping) and "amount" in value:
        unit = value.get("unit", "x")
        return f"{value['amount']:.4g}x" if unit == "x" else shown(f"-{value['amount']:.4g}{unit}")
    return "-" if value is None else shown(str(value))


def _measured(value: Mapping[str, Any]) -> str:
    if value.get("speedup") is not None:
        return format_interval(value["speedup"], value.get("low"), value.get("high"))
    return f"{value['low']:.3f}x or more" if value.get("low") is not None else "no figure"


def _cost(calls: Sequence[Mapping[str, Any]]) -> float:
    return sum(_number(call.get("cost")) for call in calls)


def _tokens(value: object) -> float:
    """All tokens of one call: a number, or the prompt's and the completion's."""
    if isinstance(value, Mapping):
        return _number(value.get("prompt")) + _number(value.get("completion"))
    return _number(value)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
