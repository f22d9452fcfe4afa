"""The scorecard as tables: what was let through, what was refused wrongly, and what it cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

Cells = tuple[str, ...]
OURS = "this judge"
RULE_TITLES = ("rule", "wrong kernels accepted", "honest kernels accepted")
GATE_TITLES = ("gate", "wrong kernels it stopped", "seconds spent")
TARGET_TITLES = ("target", "wrong kernels accepted", "at most (95%)", "honest kernels accepted", "flakes")


def render_scorecard(card: Mapping[str, Any]) -> RenderableType:
    """What `kernelsearch scorecard` shows."""
    parts: list[RenderableType] = [_table(("what", "result"), summary_rows(card))]
    if "targets" in card:
        parts += ["", _table(TARGET_TITLES, target_rows(card))]
        parts += ["", _table(RULE_TITLES, rule_rows(card))]
        parts += ["", _table(GATE_TITLES, gate_rows(card))]
    return Group(*parts)


def write_scorecard(card: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown."""
    lines = markdown(("what", "result"), summary_rows(card))
    if "targets" in card:
        lines += ["", *markdown(TARGET_TITLES, target_rows(card))]
        lines += ["", *markdown(RULE_TITLES, rule_rows(card))]
    return lines


def summary_rows(card: Mapping[str, Any]) -> list[Cells]:
    rows: list[Cells] = []
    if "exploits" in card:
        e = card["exploits"]
        rows.append(("exploits stopped", f"{_of(e['stopped'], e['total'])}, {e['as_named']} by the gate they name"))
    if "mutants" in card:
        m, h, f = card["mutants"], card["honest"], card["flakes"]
        rows.append(("wrong kernels accepted", f"{_of(m['accepted'], m['total'])} (95%: below {m['upper95']:.2%})"))
        rows.append(("honest kernels accepted", _of(h["accepted"], h["total"])))
        rows.append(("other verdict when judged again", _of(f["count"], f["verdicts"])))
    for d in card.get("clock", ()):
        beside = " beside a busy program" if d["is_busy"] else ""
        what = "identical kernels called faster" if d["gain"] == 0 else f"gain of {d['gain']}% seen"
        rows.append((what + beside, _of(d["called_faster"], d["decisions"])))
    seconds = card.get("seconds", {})
    if seconds.get("rejected_median") is not None:
        rows.append(("seconds to refuse, median", f"{seconds['rejected_median']:.1f}"))
    if seconds.get("accepted_median") is not None:
        what = "seconds to prove and time, median" if "whole_verdicts" in seconds else "seconds to prove, median"
        rows.append((what, f"{seconds['accepted_median']:.1f}"))
    return rows


def target_rows(card: Mapping[str, Any]) -> list[Cells]:
    rows: list[Cells] = []
    for name, t in card["targets"].items():
        m, h, f = t["mutants"], t["honest"], t["flakes"]
        wrong, honest, flakes = (
            _of(m["accepted"], m["total"]),
            _of(h["accepted"], h["total"]),
            _of(f["count"], f["verdicts"]),
        )
        rows.append((name, wrong, f"{m['upper95']:.2%}", honest, flakes))
    return rows


def rule_rows(card: Mapping[str, Any]) -> list[Cells]:
    m, h = card["mutants"], card["honest"]
    rows: list[Cells] = [(OURS, _share(m["accepted"], m["total"]), _share(h["accepted"], h["total"]))]
    for name, r in card["rules"].items():
        wrong, honest = _share(r["mutants_accepted"], r["mutants"]), _share(r["honest_accepted"], r["honest"])
        rows.append((name, wrong, honest))
    return rows


def gate_rows(card: Mapping[str, Any]) -> list[Cells]:
    stopped, spent = card["mutants"]["refused_by"], card["seconds"]["by_gate"]
    return [(name, str(stopped.get(name, 0)), f"{seconds:.0f}") for name, seconds in spent.items()]


def markdown(titles: Cells, rows: Sequence[Cells]) -> list[str]:
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def _table(titles: Cells, rows: Sequence[Cells]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title)
    for row in rows:
        table.add_row(*row)
    return table


def says_in_short(card: Mapping[str, Any]) -> str:
    """The rate that matters most, with its bound: what a reader trusts the speedups by."""
    mutants = card.get("mutants")
    if not mutants:
        return "not yet measured"
    return f"{mutants['accepted']} of {mutants['total']} (95%: below {mutants['upper95']:.2%})"


def _of(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "-"
