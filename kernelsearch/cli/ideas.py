"""`kernelsearch ideas`: file, list, claim, close; predicted against measured."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from kernelsearch.cli.desk import Desk, Gains, who
from kernelsearch.cli.idea_outcome import judged_outcome, reported
from kernelsearch.errors import UsageError
from kernelsearch.ideas import Entry, Measured, Outcome
from kernelsearch.ideas.library import read_ideas
from kernelsearch.report.text import foreign, format_interval, open_console
from kernelsearch.spec import Idea, parse_effect

Answer = tuple[dict[str, Any], int]
NOT_MEASURED = "order of filing: shares of a step are not yet measured here; `kernelsearch ideas shares` measures them"


def add(
    text: str,
    target: str,
    predicts: str | None,
    against: str,
    source: str,
    author: str | None,
    device: str,
    *,
    force: bool,
    desk: Desk | None = None,
) -> Answer:
    desk = desk or Desk()
    effect = parse_effect(predicts) if predicts else None
    idea = Idea(" ".join(text.split()), desk.require_target(target), effect, against, source, who(author), device)
    entry = desk.queue.add(idea, force=force)
    open_console(stderr=True).print(f"filed {entry.idea.id}", markup=False)
    return desk.describe(entry), 0


def list_ideas(state: str, target: str | None, desk: Desk | None = None, *, quiet: bool = False) -> Answer:
    if state not in ("open", "claimed", "closed", "all"):
        raise UsageError(f"state={state!r}: choose from open, claimed, closed, all")
    desk = desk or Desk()
    wanted = None if target is None else desk.require_target(target)
    entries = desk.queue.entries(None if state == "all" else state, wanted)
    gains = desk.gains()
    if not quiet:
        console = open_console(stderr=True)
        console.print(_table(desk, entries, gains))
        console.print(_order_of(desk), markup=False, soft_wrap=True)
    return {"order": _order_of(desk), "ideas": [desk.describe(entry, gains) for entry in entries]}, 0


def show(idea_id: str) -> Answer:
    desk = Desk()
    found = desk.describe(desk.queue.find(idea_id))
    console = open_console(stderr=True)
    for key, value in found.items():
        console.print(foreign(f"{key}: {value}"), soft_wrap=True)
    return found, 0


def claim(
    idea_id: str | None, target: str | None, device: str, seconds: float, worker: str | None, desk: Desk | None = None
) -> Answer:
    desk = desk or Desk()
    wanted = None if target is None else desk.require_target(target)
    entry = desk.queue.claim(
        who(worker), seconds, target=wanted, device=None if device == "all" else device, idea_id=idea_id
    )
    console = open_console(stderr=True)
    if entry is None:
        console.print("nothing is open", markup=False)
        return {"claimed": None}, 1
    assert entry.claim is not None
    console.print(foreign(f"{entry.idea.id} {entry.idea.target}: {entry.idea.text}"), soft_wrap=True)
    console.print(f"yours ({entry.claim.worker}) until {entry.claim.expires}", markup=False)
    gains = desk.gains()
    negative = [e for e in desk.queue.entries("closed", entry.idea.target) if e.outcome and e.outcome.is_negative]
    for other in negative:
        console.print(foreign(f"tried before, {_told(other)}: {other.idea.text}"), soft_wrap=True)
    return {"claimed": desk.describe(entry), "tried_before": [desk.describe(other, gains) for other in negative]}, 0


def release(idea_id: str, worker: str | None) -> Answer:
    desk = Desk()
    return desk.describe(desk.queue.release(idea_id, who(worker))), 0


def close(
    idea_id: str,
    outcome: str | None,
    candidate: str | None,
    figures: tuple[float | None, float | None, float | None],
    note: str,
    worker: str | None,
    desk: Desk | None = None,
) -> Answer:
    """`figures` are speedup, low and high as somebody reports them; a candidate's come from the ledger."""
    desk = desk or Desk()
    entry = desk.queue.find(idea_id)
    if candidate is not None:
        if figures != (None, None, None):
            raise UsageError("candidate and speedup: the candidate's figures are in the ledger; give one of the two")
        closed = judged_outcome(desk, entry.idea.target, candidate, outcome, who(worker), note)
    elif outcome is None:
        raise UsageError("outcome is missing: give --outcome, or --candidate with the digest of a judged one")
    else:
        closed = Outcome(outcome, who(worker), "", note, reported(*figures))
    entry = desk.queue.close(idea_id, closed)
    open_console(stderr=True).print(f"closed {entry.idea.id}: {_told(entry)}", markup=False)
    return desk.describe(entry), 0


def import_ideas(file: Path, author: str | None, *, force: bool) -> Answer:
    """File every idea of a list; those that are there already, or are alike, are told and left out."""
    desk = Desk()
    ideas = read_ideas(file, who(author))
    ideas = [replace(idea, target=desk.require_target(idea.target)) for idea in ideas]
    return file_ideas(desk, ideas, force=force)


def file_ideas(desk: Desk, ideas: list[Idea], *, force: bool = False) -> Answer:
    console = open_console(stderr=True)
    filed, left_out = [], []
    for idea in ideas:
        try:
            filed.append(desk.describe(desk.queue.add(idea, force=force)))
        except UsageError as refusal:
            left_out.append({**idea.as_json(), "why": str(refusal)})
            console.print(foreign(f"left out: {refusal}"), soft_wrap=True)
    console.print(f"{len(filed)} filed, {len(left_out)} left out", markup=False)
    return {"filed": filed, "left_out": left_out}, 0 if filed or not left_out else 1


def report() -> Answer:
    desk = Desk()
    rows = [e for e in desk.queue.entries("closed") if e.outcome is not None]
    table = Table("idea", "target", "predicted", "against", "measured", "before", "by", "outcome", box=None)
    for entry in rows:
        outcome = entry.outcome
        assert outcome is not None
        table.add_row(
            entry.idea.id,
            entry.idea.target,
            str(entry.idea.predicts or "-"),
            entry.idea.against,
            _figure(outcome.measured),
            "-" if outcome.before is None else f"{outcome.before:.2f}x",
            outcome.measured.by if outcome.measured else "-",
            outcome.outcome,
        )
    console = open_console(stderr=True)
    console.print(table)
    summary = _summary(rows)
    console.print(_told_summary(summary), markup=False, soft_wrap=True)
    gains = desk.gains()
    ideas = [{**desk.describe(entry, gains), "kept_promise": kept_promise(entry)} for entry in rows]
    return {"ideas": ideas, "summary": summary}, 0


def kept_promise(entry: Entry) -> bool | None:
    """Whether the measured speedup reached the predicted one; None where either is missing or they do not compare."""
    effect, outcome = entry.idea.predicts, entry.outcome
    if effect is None or effect.unit != "x" or outcome is None or outcome.measured is None:
        return None
    measured = outcome.measured.speedup or outcome.measured.low
    if entry.idea.against == "baseline":
        return measured >= effect.amount
    return None if outcome.before is None else measured / outcome.before >= effect.amount


def _summary(rows: list[Entry]) -> dict[str, int]:
    kept = [kept_promise(entry) for entry in rows]
    counts = {"tried": len(rows), "faster": sum(1 for e in rows if e.outcome and not e.outcome.is_negative)}
    return {**counts, "compared": sum(1 for k in kept if k is not None), "kept_promise": sum(1 for k in kept if k)}


def _told_summary(summary: Mapping[str, int]) -> str:
    return (
        f"{summary['tried']} tried, {summary['faster']} made something faster; of {summary['compared']} whose "
        f"prediction and figure compare, {summary['kept_promise']} kept their promise"
    )


def _order_of(desk: Desk) -> str:
    shares = desk.shares
    if shares is None:
        return NOT_MEASURED
    return (
        f"order of expected gain for a step of {shares.config}, {shares.dtype}, {shares.device}, "
        f"{shares.threads} threads, shares measured {shares.date[:16]}"
    )


def _table(desk: Desk, entries: list[Entry], gains: Gains) -> Table:
    table = Table("idea", "target", "device", "predicts", "of a step", "state", "what", box=None)
    for entry in entries:
        gain = gains(entry)
        table.add_row(
            entry.idea.id,
            foreign(entry.idea.target),
            entry.idea.device,
            str(entry.idea.predicts or "-"),
            "-" if gain is None else f"{gain:.1%}",
            foreign(_told(entry) if entry.outcome else entry.state(desk.queue.now)),
            foreign(entry.idea.text),
        )
    return table


def _told(entry: Entry) -> str:
    assert entry.outcome is not None
    return f"{entry.outcome.outcome} {_figure(entry.outcome.measured)}".removesuffix(" -")


def _figure(measured: Measured | None) -> str:
    if measured is None:
        return "-"
    if measured.speedup is None:
        return f"low end {measured.low:.3f}x"
    return format_interval(measured.speedup, measured.low, measured.high)
