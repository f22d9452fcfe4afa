"""Searching on all targets: once to each, then where a second is worth most, and at the end the winners judged again.

The first round tries every target's seeds as given: until then nothing is known of most of a step, and a kernel for
each is worth more than the last percent of one. Part of the budget is held back for the end, as much as judging the
best of each target again will take. Of a span and its parts, only the side that saves more is refined and judged again.

The ledger is the record. Lines of kind "campaign" say when a campaign started, which target it went to, how it left,
which winners were settled and how it ended; one that has not ended goes on where it was when it is started again with
the same settings, whatever killed it. What was judged is never judged again: a study answers from the ledger. Time
spent is the sum over visits; of a visit that was cut off, what its trials took.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kernelsearch.digest import digest
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger, Line
from kernelsearch.search.finalists import Finalist
from kernelsearch.search.proposer import Trial
from kernelsearch.search.standing import Spans, Standing, follow, in_use, is_to_be_left, least_of_use

KIND = "campaign"
# Judging from scratch with twice the effort, in units of the first verdict's time.
CONFIRMATION = 1.6
Ending = Literal["budget", "exhausted", "interrupted"]
IsEnough = Callable[[Sequence[Trial]], bool]
Spending = Mapping[str, Any]


@dataclass(frozen=True)
class Visited:
    """What a visit came to: all trials of its target in order, and those that may be judged again.

    `spending`: what calls of a model for this target came to in all, where its proposer made some.
    """

    trials: tuple[Trial, ...]
    is_exhausted: bool
    is_interrupted: bool
    finalists: tuple[Finalist, ...] = ()
    spending: Spending | None = None


@dataclass(frozen=True)
class Visit:
    """A visit about to begin: `seconds` are left in all; it should end when `is_enough` says so.

    A speedup below `least` is of no use: kernels for the parts of this span save more. `elsewhere` is what calls for
    the other targets came to.
    """

    standing: Standing
    is_enough: IsEnough
    seconds: float
    least: float | None = None
    elsewhere: tuple[Spending, ...] = ()


@dataclass(frozen=True)
class CampaignResult:
    """`seconds` of all its runs; `kept` by target, None where nothing was accepted again; others were not settled."""

    campaign: str
    standings: tuple[Standing, ...]
    kept: Mapping[str, Mapping[str, Any] | None]
    spending: Mapping[str, Spending]
    seconds: float
    reason: Ending
    is_resumed: bool


@dataclass(frozen=True)
class Work:
    """What a campaign is made of. `visit` searches on one target, `settle` judges its finalists again and keeps one.

    `settle` returns what the record should say of what was kept. Both may raise Infrastructure.
    """

    visit: Callable[[Visit], Visited]
    settle: Callable[[Standing, Sequence[Finalist]], Mapping[str, Any] | None]
    spans: Spans
    on_visit: Callable[[Standing, float], None] = lambda standing, seconds: None
    on_failure: Callable[[Standing, str], None] = lambda standing, message: None


def run_campaign(
    standings: Sequence[Standing],
    work: Work,
    ledger: Ledger,
    *,
    settings: Mapping[str, Any],
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> CampaignResult:
    """Visit targets until the budget is spent but for what settling takes, nothing is left to try, or Ctrl-C; settle.

    `standings` are those of a new campaign; one that goes on has its own. A visit that raises Infrastructure is
    recorded, and its target is given up after FAILURES of them. Raises Infrastructure when all were given up, or when
    the ledger cannot be written: the campaign is still open then.
    """
    campaign = _Campaign(standings, work, ledger, settings, clock)
    reason: Ending = "interrupted"
    try:
        reason = campaign.run(budget_s)
    except KeyboardInterrupt:
        pass
    if reason != "interrupted":
        ledger.append(KIND, {"campaign": campaign.id, "event": "end", "reason": reason, "seconds": campaign.spent})
    found = tuple(campaign.standings.values())
    answer = campaign.kept, campaign.spending, campaign.spent
    return CampaignResult(campaign.id, found, *answer, reason, campaign.is_resumed)


class _Campaign:
    """One run. `standings`, `finalists`, `kept`, `spending` and `spent` grow from what the ledger holds."""

    def __init__(
        self,
        standings: Sequence[Standing],
        work: Work,
        ledger: Ledger,
        settings: Mapping[str, Any],
        clock: Callable[[], float],
    ) -> None:
        self.work, self.ledger, self.clock = work, ledger, clock
        self.standings = {standing.target: standing for standing in standings}
        self.finalists: dict[str, tuple[Finalist, ...]] = {}
        self.kept: dict[str, Mapping[str, Any] | None] = {}
        self.spending: dict[str, Spending] = {}
        self.spent = 0.0
        wanted = digest(dict(settings))
        start = _open_start(ledger, wanted)
        self.is_resumed = start is not None
        if start is None:
            body = {"event": "start", "settings": dict(settings), "wanted": wanted}
            start = ledger.append(KIND, {**body, "standings": [s.as_json() for s in standings]})
        self.id = start.digest
        if self.is_resumed:
            self._recall(start)

    def _recall(self, start: Line) -> None:
        self.standings = {value["target"]: Standing(**value) for value in start.body["standings"]}
        begun: Line | None = None
        for line in self.ledger.find(KIND, campaign=self.id):
            begun = line if line.body["event"] == "visit" else None
            if line.body["event"] in ("left", "settled"):
                standing = Standing(**line.body["standing"])
                self.standings[standing.target] = standing
                self.spent += line.body["seconds"]
                if line.body["event"] == "left":
                    self.finalists[standing.target] = tuple(Finalist(**value) for value in line.body["finalists"])
                    if line.body["spending"] is not None:
                        self.spending[standing.target] = line.body["spending"]
                else:
                    self.kept[standing.target] = line.body["kept"]
        if begun is not None:
            cut_off = [line for line in self.ledger.find("trial") if line.sequence > begun.sequence]
            self.spent += sum(line.body["verdict"]["seconds"] for line in cut_off)

    def run(self, budget_s: float) -> Ending:
        while not self.kept and (seconds := budget_s - self.spent - self._held_back()) > 0:
            ranked = self._ranked()
            if not ranked:
                break
            standing = ranked[0]
            self.work.on_visit(standing, seconds)
            # In the first round one stays until the seeds are tried, and no longer.
            rival = None if standing.visits == 0 else ranked[1].rate if len(ranked) > 1 else 0.0
            if self._visit(standing, rival, seconds):
                return "interrupted"
        while self.spent < budget_s and (unsettled := self._unsettled()):
            self._settle(unsettled[0])
        return "budget" if self._ranked() else self._nothing_left()

    def _ranked(self) -> list[Standing]:
        """Where a visit is worth something: targets not yet visited, parts before their spans, then by rate."""
        used = {standing.target for standing in in_use(self.standings.values(), self.work.spans)}

        def order(standing: Standing) -> tuple[bool, bool, bool, float]:
            is_new = standing.visits == 0
            is_span = is_new and standing.target in self.work.spans
            return not is_new, is_span, standing.target not in used, -standing.rate

        return sorted((s for s in self.standings.values() if s.rate > 0.0), key=order)

    def _held_back(self) -> float:
        return CONFIRMATION * sum(self.finalists[standing.target][0].seconds for standing in self._unsettled())

    def _unsettled(self) -> list[Standing]:
        """Targets in use whose winners wait to be judged again; the one that saves most first."""
        used = in_use(self.standings.values(), self.work.spans)
        waiting = [s for s in used if self.finalists.get(s.target) and s.target not in self.kept]
        return sorted(waiting, key=lambda standing: -standing.saved_us)

    def _visit(self, standing: Standing, rival: float | None, seconds: float) -> bool:
        """Makes one visit and records it; whether it was interrupted."""
        self.ledger.append(KIND, {"campaign": self.id, "event": "visit", "target": standing.target, "rival": rival})
        started, error = self.clock(), None
        visited = Visited((), is_exhausted=False, is_interrupted=False)
        least = least_of_use(standing, self.standings, self.work.spans)

        def is_enough(trials: Sequence[Trial]) -> bool:
            return rival is None or is_to_be_left(follow(standing, trials), rival)

        try:
            elsewhere = tuple(spent for name, spent in self.spending.items() if name != standing.target)
            visited = self.work.visit(Visit(standing, is_enough, seconds, least, elsewhere))
            after = replace(follow(standing, visited.trials), is_exhausted=visited.is_exhausted)
            self.finalists[standing.target] = visited.finalists
            if visited.spending is not None:
                self.spending[standing.target] = visited.spending
        except Infrastructure as failure:
            error, after = str(failure), replace(standing, failures=standing.failures + 1)
            self.work.on_failure(after, error)
        except KeyboardInterrupt:
            visited, after = replace(visited, is_interrupted=True), standing
        took = self.clock() - started
        # A first round that was cut short is made again.
        visits = after.visits + (not visited.is_interrupted)
        after = replace(after, visits=visits, seconds=standing.seconds + took)
        finalists = [finalist.as_json() for finalist in self._finalists_of(after)]
        self._record("left", after, took, error, finalists=finalists, spending=self.spending.get(after.target))
        return visited.is_interrupted

    def _settle(self, standing: Standing) -> None:
        """Judges the winners of one target again and records what was kept."""
        started, error, kept = self.clock(), None, None
        try:
            kept = self.work.settle(standing, self._finalists_of(standing))
        except Infrastructure as failure:
            error = str(failure)
            self.work.on_failure(standing, error)
        took = self.clock() - started
        self.kept[standing.target] = kept
        # What was refused saves nothing: a span gives way to its parts.
        best = None if kept is None else standing.best
        after = replace(standing, best=best, seconds=standing.seconds + took)
        self._record("settled", after, took, error, kept=kept)

    def _finalists_of(self, standing: Standing) -> tuple[Finalist, ...]:
        return self.finalists.get(standing.target, ())

    def _record(self, event: str, after: Standing, took: float, error: str | None, **more: Any) -> None:
        self.standings[after.target] = after
        self.spent += took
        body = {"campaign": self.id, "event": event, "seconds": took, "error": error, **more}
        self.ledger.append(KIND, {**body, "standing": after.as_json()})

    def _nothing_left(self) -> Ending:
        failed = [s.target for s in self.standings.values() if not s.is_exhausted and not s.is_open]
        if failed and not any(s.trials for s in self.standings.values()):
            raise Infrastructure(f"no target could be worked on: {', '.join(failed)} failed every time")
        return "exhausted"


def _open_start(ledger: Ledger, wanted: str) -> Line | None:
    """Where the last campaign with these settings started, unless it has ended."""
    starts = ledger.find(KIND, event="start", wanted=wanted)
    if not starts or ledger.find(KIND, campaign=starts[-1].digest, event="end"):
        return None
    return starts[-1]
