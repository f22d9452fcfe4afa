"""Comparisons of two sides as the ledger keeps them: `kernelsearch compare` and `kernelsearch bisect`."""

from collections.abc import Mapping, Sequence
from typing import Any

from kernelsearch.compare.result import Comparison
from kernelsearch.ledger import Line
from kernelsearch.report.searches import clock
from kernelsearch.report.table import Table
from kernelsearch.report.text import shown

KIND = "comparison"
TITLES = ("when", "old", "new", "kernel", "workload", "time, new over old", "answer")
SHORT_TITLES = ("when", "old", "new", "status", "answer")


def comparison_body(comparison: Comparison, status: int) -> dict[str, Any]:
    """What the ledger keeps: the two sides, every kernel's interval, the sentences, the exit status."""
    return {
        "command": "compare",
        "base": comparison.base,
        "base_commit": comparison.base_commit,
        "head": comparison.head,
        "head_commit": comparison.head_commit,
        "device": comparison.device,
        "threads": comparison.threads,
        "tolerance": comparison.tolerance,
        "kernels": [_kernel(row) for row in comparison.as_json()["kernels"]],
        "sentence": comparison.summary,
        "status": status,
        "seconds": comparison.seconds,
        "environment": comparison.environment,
    }


def bisection_body(
    sides: tuple[str, str], compared: Sequence[Comparison], sentence: str, status: int
) -> dict[str, Any]:
    """What the ledger keeps of a bisection of (good, bad): the answer, and each commit's intervals.

    A kernel's `head_commit` is the commit that it was taken from; the old side is always the good one.
    """
    good, bad = sides
    kernels = [
        {**_kernel(row), "head_commit": comparison.head_commit}
        for comparison in compared
        for row in comparison.as_json()["kernels"]
    ]
    last = comparison_body(compared[-1], status) if compared else {}
    names = {"base": good[:12], "base_commit": good, "head": bad[:12], "head_commit": bad}
    seconds = sum(comparison.seconds for comparison in compared)
    return {
        **last,
        **names,
        "command": "bisect",
        "kernels": kernels,
        "sentence": sentence,
        "status": status,
        "seconds": seconds,
    }


def _kernel(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without the single meetings and the gates: the interval is what they amount to."""
    kept = ("target", "kernel", "change", "base", "head", "sentence", "problem")
    timings = [{**timing, "meetings": len(timing["meetings"])} for timing in row["timings"]]
    verdict = row["verdict"] and row["verdict"]["status"]
    return {**{key: row[key] for key in kept}, "timings": timings, "verdict": verdict}


def list_comparisons(lines: Sequence[Line], most: int) -> Table | None:
    """A row for each timed workload of the newest comparisons, at most `most` of them; None without any."""
    found = [line for line in reversed(lines) if line.kind == KIND][:most]
    rows = [row for line in found for row in _rows(line)]
    return Table(TITLES, tuple(rows), "Comparisons of two commits, the newest first") if rows else None


def short_comparisons(lines: Sequence[Line], most: int) -> Table | None:
    """One row for each of the newest comparisons."""
    found = [line for line in reversed(lines) if line.kind == KIND][:most]
    rows = [(*_sides(line), str(line.body["status"]), shown(_answer(line.body))) for line in found]
    return Table(SHORT_TITLES, tuple(rows), "Comparisons of two commits, the newest first") if rows else None


def _rows(line: Line) -> list[tuple[str, ...]]:
    sides = _sides(line)
    rows = []
    for kernel in line.body["kernels"]:
        at = f" at {kernel['head_commit'][:12]}" if kernel.get("head_commit") else ""
        name = shown(f"{kernel['target']} {kernel['kernel']}{at}")
        rows += [(*sides, name, shown(t["workload"]), _interval(t), shown(t["sentence"])) for t in kernel["timings"]]
    return [*rows, (*sides, "-", "-", "-", shown(f"{line.body['sentence']} Status {line.body['status']}."))]


def _sides(line: Line) -> tuple[str, str, str]:
    return clock(line.time), shown(_side(line.body, "base")), shown(_side(line.body, "head"))


def _side(body: Mapping[str, Any], side: str) -> str:
    name, commit = str(body[side]), body.get(f"{side}_commit")
    return name if commit is None or not commit.startswith(name) else name[:12]


def _answer(body: Mapping[str, Any]) -> str:
    """The sentences of what was timed or refused where they are few, else the sum of them."""
    told = [k["sentence"] for k in body["kernels"] if k["timings"] or k["problem"] or k["verdict"]]
    return "; ".join(told) if body["command"] == "compare" and len(told) == 1 else str(body["sentence"])


def _interval(timing: Mapping[str, Any]) -> str:
    if timing["ratio"] is None:
        return "-"
    return f"{timing['ratio']:.3f} [{timing['low']:.3f}, {timing['high']:.3f}]"
