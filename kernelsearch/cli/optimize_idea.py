"""`kernelsearch optimize --idea`: an idea claimed for a study, and closed with what the study made of it.

What counts for the idea are candidates that did not come with the target: the user's files, and what a proposer wrote.
Where the study judged none of them, the idea was not tried and is open again; so it is after Ctrl-C and after errors.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kernelsearch.cli.desk import Desk, who
from kernelsearch.cli.idea_outcome import outcome_of
from kernelsearch.cli.ideas import Answer
from kernelsearch.cli.optimize import Request, starting_candidates
from kernelsearch.cli.proposers import SEARCHES
from kernelsearch.cli.workplace import parse_seconds
from kernelsearch.digest import digest_bytes
from kernelsearch.errors import UsageError
from kernelsearch.ideas import Entry, Outcome
from kernelsearch.ledger import Ledger
from kernelsearch.report.text import foreign, open_console
from kernelsearch.spec import TargetFolder, Verdict, find_target, verdict_from_json

NEXT = "next"
SPARE_S = 3600.0


def run(idea: str, request: Request, study: Callable[[Request], Answer]) -> Answer:
    """`study` with an idea: its id, or "next" for the best open one of the target."""
    if request.proposer in SEARCHES and not request.candidates:
        raise UsageError(
            f"idea={idea!r}: {request.proposer} searches what is there and cannot carry out an idea; "
            "give a source that does with --candidate FILE, or a proposer that writes sources"
        )
    desk = Desk()
    folder = find_target(request.target, desk.library)
    target = desk.require_target(request.target)
    worker = _worker(desk, idea)
    entry = _claim(desk, idea, target, worker, 2 * parse_seconds(request.budget, "budget") + SPARE_S)
    console = open_console(stderr=True)
    console.print(foreign(f"idea {entry.idea.id}: {entry.idea.text}"), soft_wrap=True)
    before, begun = desk.best_of(folder.target.name), len(desk.ledger)
    outcome: Outcome | None = None
    try:
        answer, status = study(replace(request, idea=entry.idea))
        desk.ledger.refresh()
        if status != 130:
            outcome = _outcome(desk.ledger, begun, folder, request, before, worker)
    finally:
        closed = (
            desk.queue.release(entry.idea.id, worker) if outcome is None else desk.queue.close(entry.idea.id, outcome)
        )
    said = f"closed as {outcome.outcome}" if outcome else "was not tried and is open again"
    console.print(f"idea {entry.idea.id} {said}", markup=False)
    return {**answer, "idea": desk.describe(closed)}, status


def _worker(desk: Desk, idea: str) -> str:
    """A name of this study's own, or the user's where they claimed the idea before they started it."""
    claim = None if idea == NEXT else desk.queue.find(idea).claim
    user = who(None)
    return user if claim is not None and claim.worker == user else f"{user}/study-{os.getpid()}"


def _claim(desk: Desk, idea: str, target: str, worker: str, seconds: float) -> Entry:
    if idea == NEXT:
        entry = desk.queue.claim(worker, seconds, target=target, device="cpu")
        if entry is None:
            raise UsageError(f"idea='next': nothing is open for target={target!r}; see `kernelsearch ideas list`")
        return entry
    found = desk.queue.find(idea)
    if found.idea.target != target:
        raise UsageError(f"idea={idea!r} is for target {found.idea.target!r}, not {target!r}")
    claimed = desk.queue.claim(worker, seconds, idea_id=found.idea.id)
    assert claimed is not None, "an idea named by its id is claimed or refused"
    return claimed


def _outcome(
    ledger: Ledger, begun: int, folder: TargetFolder, request: Request, before: float, worker: str
) -> Outcome | None:
    """What the study that began at line `begun` made of the idea; None where no candidate of it was judged."""
    lines = list(ledger)
    studies = [line for line in lines[begun:] if line.kind == "study"]
    if not studies:
        return None
    study = studies[-1]
    seeds = {digest_bytes(source.encode()) for source in folder.seeds(request.language).values()}
    every = starting_candidates(folder, request.language, request.candidates)
    given = {digest_bytes(candidate.source.encode()) for candidate in every} - seeds
    verdicts: dict[str, Verdict] = {}
    for line in lines:
        body: Any = line.body
        if line.kind == "trial" and body["context"] == study.body["context"]:
            is_new = body["study"] == study.digest and body["source"] not in seeds
            if is_new or body["source"] in given:
                verdicts[body["candidate"]] = verdict_from_json(body["verdict"])
        elif line.kind == "confirmation" and line.sequence > study.sequence and body["candidate"] in verdicts:
            verdicts[body["candidate"]] = verdict_from_json(body["verdict"])
    if not verdicts:
        return None
    best = max(verdicts.values(), key=lambda verdict: (verdict.accepted, verdict.passed, verdict.low or 0.0))
    return outcome_of(best, before, worker, "", study.digest)
