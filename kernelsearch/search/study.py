"""The loop of a study: ask, judge, log, tell.

Proposers take turns, so that at any moment they have had the same number of trials. Every verdict is in the ledger
before the next question: a study that was killed and started again with the same proposers asks the same questions
and gets the recorded answers, until it reaches the point where it died. A verdict counts for its context only (the
contract, dtype, workloads, environment and harness it was judged with).
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger, Line, Objects
from kernelsearch.search.events import Budget, Event, StudyEnded, StudyStarted, TrialJudged, TrialStarted
from kernelsearch.search.proposer import Proposer, Trial
from kernelsearch.search.result import Reason, StudyResult, best_of, trace
from kernelsearch.spec import Candidate, Status, Verdict, verdict_from_json

FAILURES_IN_A_ROW = 3


def run_study(
    proposers: Sequence[Proposer],
    evaluate: Callable[[Candidate, float | None], Verdict],
    ledger: Ledger,
    *,
    context: Mapping[str, Any],
    budget: Budget,
    objects: Objects,
    on_event: Callable[[Event], None] = lambda event: None,
    clock: Callable[[], float] = time.monotonic,
    is_enough: Callable[[Sequence[Trial]], bool] = lambda trials: False,
    least: float | None = None,
    prepare: Callable[[Candidate], None] | None = None,
) -> StudyResult:
    """Search until the budget is spent, every proposer is out of candidates, or Ctrl-C; the result stands in any case.

    `is_enough`, told all trials so far before each question, may end the study too: reason "diminished".

    `evaluate` is told the lower end of the best accepted speedup so far, or `least` where that is more, and may leave
    what is below unproven (SLOWER).
    `prepare` is told, before a candidate is judged, which one a single proposer would ask for next if this one brought
    nothing new. The proposer itself is not asked: a copy of it is, so that a study repeats with or without it.
    A trial with status INFRASTRUCTURE is recorded, but its candidate counts as not judged: it is judged again when it
    is proposed again. Raises Infrastructure after FAILURES_IN_A_ROW of them; then, and on any other error, the record
    of the study ends as "failed".
    """
    study = _Study(proposers, evaluate, ledger, objects, on_event, clock, least, prepare)
    study.open(context, budget)
    reason: Reason = "failed"
    try:
        reason = study.run(budget, is_enough)
    except KeyboardInterrupt:
        reason = "interrupted"
    finally:
        result = study.close(reason)
    return result


class _Study:
    """One run of a study. `trials` grows; everything else is set once."""

    def __init__(
        self,
        proposers: Sequence[Proposer],
        evaluate: Callable[[Candidate, float | None], Verdict],
        ledger: Ledger,
        objects: Objects,
        on_event: Callable[[Event], None],
        clock: Callable[[], float],
        least: float | None,
        prepare: Callable[[Candidate], None] | None,
    ) -> None:
        self.proposers = tuple(proposers)
        self.evaluate = evaluate
        self.ledger = ledger
        self.objects = objects
        self.on_event = on_event
        self.clock = clock
        self.least, self.prepare = least, prepare
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.failures = 0

    def open(self, context: Mapping[str, Any], budget: Budget) -> None:
        names = tuple(proposer.name for proposer in self.proposers)
        if len(set(names)) != len(names):
            raise ValueError(f"proposers={names} must have different names: each has a trajectory of its own")
        self.context = digest(dict(context))
        described = [{"name": p.name, "settings": dict(p.describe())} for p in self.proposers]
        body = {"context": self.context, "settings": context, "proposers": described, "budget": asdict(budget)}
        self.record = self.ledger.append("study", body)
        self.started = self.clock()
        self.on_event(StudyStarted(context, names, budget))

    def run(self, budget: Budget, is_enough: Callable[[Sequence[Trial]], bool]) -> Reason:
        active = list(self.proposers)
        while active:
            for proposer in tuple(active):
                if budget.is_spent(self.seconds, len(self.trials)):
                    return "budget"
                if is_enough(self.trials):
                    return "diminished"
                candidate = proposer.ask(self.trials)
                if candidate is None:
                    active.remove(proposer)
                else:
                    self.judge(proposer, candidate)
        return "exhausted"

    def judge(self, proposer: Proposer, candidate: Candidate) -> None:
        number = len(self.trials) + 1
        self.on_event(TrialStarted(number, proposer.name, candidate, self.seconds))
        best = self.best.verdict.low if self.best is not None and self.best.verdict.accepted else None
        to_beat = max((low for low in (best, self.least) if low is not None), default=None)
        verdict = recorded_verdict(self.ledger, candidate.digest, self.context, to_beat)
        is_cached = verdict is not None
        if verdict is None:
            self.look_ahead(proposer, candidate)
            verdict = self.evaluate(candidate, to_beat)
            self.log(proposer, candidate, verdict)
        trial = Trial(candidate, verdict, proposer.name, is_cached)
        self.trials.append(trial)
        self.best = best_of([trial] if self.best is None else [self.best, trial])
        proposer.tell(trial)
        self.on_event(TrialJudged(number, trial, self.best, self.seconds))
        self.count_failure(verdict)

    def look_ahead(self, proposer: Proposer, candidate: Candidate) -> None:
        if self.prepare is None or len(self.proposers) > 1:
            return
        copied = copy.deepcopy(proposer)
        where = candidate.target, candidate.digest, candidate.language, ""
        trial = Trial(candidate, Verdict(*where, Status.SLOWER, "a guess", 0.0, accepted=False), proposer.name, False)
        copied.tell(trial)
        following = copied.ask([*self.trials, trial])
        if following is not None:
            self.prepare(following)

    def log(self, proposer: Proposer, candidate: Candidate, verdict: Verdict) -> None:
        source = self.objects.put(candidate.source)
        self.ledger.append(
            "trial", trial_body(candidate, verdict, source, self.context, proposer.name, self.record.digest)
        )

    def count_failure(self, verdict: Verdict) -> None:
        self.failures = self.failures + 1 if verdict.status is Status.INFRASTRUCTURE else 0
        if self.failures == FAILURES_IN_A_ROW:
            raise Infrastructure(f"{self.failures} trials in a row could not be judged; the last: {verdict.detail}")

    def close(self, reason: Reason) -> StudyResult:
        trajectories = tuple(trace(proposer.name, self.trials) for proposer in self.proposers)
        result = StudyResult(self.context, tuple(self.trials), trajectories, self.seconds, reason)
        body = {
            "study": self.record.digest,
            "reason": reason,
            "seconds": result.seconds,
            "trials": len(result.trials),
            "judged": result.judged,
            "statuses": result.statuses,
            "best": result.best.candidate.digest if result.best else None,
            "trajectories": [trajectory.as_json() for trajectory in trajectories],
        }
        self.ledger.append("study-end", body)
        self.on_event(StudyEnded(result))
        return result

    @property
    def seconds(self) -> float:
        return self.clock() - self.started


def trial_body(
    candidate: Candidate, verdict: Verdict, source: str, context: str, proposer: str, study: str | None
) -> dict[str, Any]:
    """The record of one judged candidate. `source`, `context` and `study` are digests; a single check has no study."""
    assert verdict.digest == candidate.digest, f"verdict of {verdict.digest} for candidate {candidate.digest}"
    return {
        "study": study,
        "context": context,
        "proposer": proposer,
        "candidate": candidate.digest,
        "target": candidate.target,
        "language": candidate.language,
        "source": source,
        "tunables": dict(candidate.tunables),
        "origin": candidate.origin,
        "verdict": verdict.as_json(),
    }


def recorded_verdict(ledger: Ledger, candidate: str, context: str, to_beat: float | None = None) -> Verdict | None:
    """The last verdict about a candidate digest in a context digest that answers the question; None where none does.

    Our own failures answer nothing, and SLOWER only whether a speedup of at least `to_beat` can be expected.
    """
    for line in reversed(ledger.trials(candidate, context)):
        verdict = verdict_from_json(line.body["verdict"])
        is_slower = verdict.high is not None and to_beat is not None and verdict.high < to_beat
        if verdict.status is not Status.INFRASTRUCTURE and (verdict.status is not Status.SLOWER or is_slower):
            return verdict
    return None


def recorded_candidate(line: Line, objects: Objects) -> Candidate:
    """The candidate of a trial's line, its source read from `objects`."""
    body = line.body
    source = objects.get(body["source"])
    return Candidate(body["target"], body["language"], source, body["tunables"], body["origin"])
