"""How an idea ended: what the judge recorded of a candidate, or what somebody reports."""

from pathlib import Path

from kernelsearch.cli.desk import Desk
from kernelsearch.errors import UsageError
from kernelsearch.ideas import Measured, Outcome
from kernelsearch.spec import Status, Verdict, verdict_from_json


def reported(speedup: float | None, low: float | None, high: float | None) -> Measured | None:
    if speedup is None and low is None and high is None:
        return None
    if speedup is None or low is None or high is None or not 0 < low <= speedup <= high < 1e6:
        raise UsageError(f"speedup={speedup} low={low} high={high}: give all three, 0 < low <= speedup <= high")
    return Measured(low, "reporter", speedup, high)


def judged_outcome(desk: Desk, target: str, candidate: str, claimed: str | None, worker: str, note: str) -> Outcome:
    """What the ledger says of a candidate; an outcome that somebody claims must agree with it."""
    desk.ledger.refresh()
    lines = [
        line
        for kind in ("trial", "confirmation")
        for line in desk.ledger.find(kind)
        if candidate and line.body["candidate"].startswith(candidate)
    ]
    digests = {line.body["candidate"] for line in lines}
    if len(digests) != 1:
        raise UsageError(f"candidate={candidate!r}: {len(digests) or 'no'} judged candidates have such a digest here")
    verdict = verdict_from_json(lines[-1].body["verdict"])
    if verdict.target != target and Path(target).name != verdict.target:
        raise UsageError(f"candidate={candidate!r} is for target {verdict.target!r}, the idea for {target!r}")
    (digest,) = digests
    found = outcome_of(verdict, desk.best_of(target, besides=digest), worker, note)
    if claimed is not None and claimed != found.outcome:
        raise UsageError(f"outcome={claimed!r}: the judge's verdict {verdict.status} makes it {found.outcome!r}")
    return found


def outcome_of(verdict: Verdict, before: float, worker: str, note: str, study: str | None = None) -> Outcome:
    """The outcome that a verdict means where the best speedup was `before`."""
    measured = None
    if verdict.speedup is not None and verdict.low is not None and verdict.high is not None:
        measured = Measured(verdict.low, "judge", verdict.speedup, verdict.high)
    if measured is None or not (verdict.passed or verdict.status is Status.SLOWER):
        kind = "wrong" if not verdict.passed else "equal"
        return Outcome(kind, worker, "", note or verdict.detail, None, before, verdict.digest, study)
    is_faster = verdict.accepted and measured.low > before
    is_slower = verdict.high is not None and verdict.high < before
    kind = "faster" if is_faster else "slower" if is_slower else "equal"
    return Outcome(kind, worker, "", note, measured, before, verdict.digest, study)
