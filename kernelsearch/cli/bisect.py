"""`kernelsearch bisect`: the commit at which a target's kernel became slower."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelsearch.cli import compare
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.compare.bisect import Answer, Found, bisect
from kernelsearch.compare.decision import Outcome
from kernelsearch.compare.pairs import Change
from kernelsearch.compare.result import Comparison, Row
from kernelsearch.compare.sides import commits_touching, resolve_commit
from kernelsearch.errors import UsageError
from kernelsearch.report.comparisons import KIND, bisection_body
from kernelsearch.report.text import count, foreign, open_console

Ask = Callable[[str], tuple[Answer, str]]


@dataclass(frozen=True)
class Request:
    target: str
    good: str
    bad: str
    workload: str | None
    dtype: str
    tolerance: float
    most_meetings: int
    repository: Path
    kernels: str
    threads: int | None


def run(request: Request) -> tuple[dict[str, Any], int]:
    good, bad = (resolve_commit(request.repository, name) for name in (request.good, request.bad))
    commits = commits_touching(request.repository, f"{request.kernels}/{request.target}", good, bad)
    if not commits:
        raise UsageError(
            f"target={request.target!r}: no commit after {request.good} up to {request.bad} changed "
            f"{request.kernels}/{request.target}"
        )
    console = open_console(stderr=True)
    console.print(f"{count(len(commits), 'commit', 'commits')} changed {request.target}", markup=False)
    place = open_workplace(request.threads)
    ledger, compared = place.ledger, list[Comparison]()
    with tempfile.TemporaryDirectory(prefix="kernelsearch-bisect-") as scratch:
        found = bisect(commits, _asker(request, good, place, Path(scratch), compared))
    message, status = describe(found)
    ledger.append(KIND, bisection_body((good, bad), compared, message, status))
    console.print(foreign(message))
    document = {
        "target": request.target,
        "good": good,
        "bad": bad,
        "commits": len(commits),
        "found": found.suspects[0][0] if found.is_exact else None,
        "suspects": [{"commit": commit, "subject": subject} for commit, subject in found.suspects],
        "steps": [step.as_json() for step in found.steps],
        "message": message,
    }
    return document, status


def describe(found: Found) -> tuple[str, int]:
    """The answer in words, and the exit status: 0 only where one commit was found."""
    if found.is_exact:
        ((commit, subject),) = found.suspects
        detail = next(step.detail for step in found.steps if step.commit == commit)
        return f"{commit[:12]} made it slower ({detail}): {subject}", 0
    if found.suspects:
        names = ", ".join(f"{commit[:12]} ({subject})" for commit, subject in found.suspects)
        return f"one of {len(found.suspects)} commits, {found.steps[-1].detail} at the next: {names}", 1
    return f"nothing to find: at the bad commit, {found.steps[-1].detail}", 1


def _asker(request: Request, good: str, place: Workplace, scratch: Path, compared: list[Comparison]) -> Ask:
    """Compares the kernels of one commit with those of the good one; nothing is proven, only timed.

    What was measured is added to `compared`.
    """

    def ask(commit: str) -> tuple[Answer, str]:
        asked = compare.Request(
            good,
            commit,
            (request.target,),
            request.workload,
            request.dtype,
            request.tolerance,
            request.most_meetings,
            is_noise_failure=True,
            is_proven=False,
            repository=request.repository,
            kernels=request.kernels,
            threads=request.threads,
        )
        compared.append(compare.compare(asked, place, scratch))
        return judge_rows(compared[-1].rows)

    return ask


def judge_rows(rows: tuple[Row, ...]) -> tuple[Answer, str]:
    """One answer for all kernels of a target: slower if one is, open if one cannot be told."""
    outcomes = [(timing.decision.outcome, row) for row in rows for timing in row.timings]
    slower = [row for outcome, row in outcomes if outcome is Outcome.SLOWER and row.problem is None]
    if slower:
        return Answer.SLOWER, "; ".join(dict.fromkeys(row.sentence for row in slower))
    unclear = [row for outcome, row in outcomes if outcome is Outcome.NOISY]
    unclear += [row for row in rows if row.problem is not None or row.change is Change.REMOVED]
    if unclear:
        return Answer.OPEN, "; ".join(dict.fromkeys(row.sentence for row in unclear))
    return Answer.FINE, "; ".join(row.sentence for row in rows)
