"""Searching on all targets: visit the one where a second is worth most, leave it when it no longer is, come back.

The ledger is the record. Lines of kind "campaign" say when a campaign started, which target it went to, how it left
and how it ended; one that has not ended goes on where it was when it is started again with the same settings, whatever
killed it. What was judged is never judged again: a study answers from the ledger. Time spent is the sum over visits;
of a visit that was cut off, what its trials took.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kernelsearch.digest import digest
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger, Line
from kernelsearch.search.proposer import Trial
from kernelsearch.search.standing import Standing, follow, is_to_be_left

KIND = "campaign"
Ending = Literal["budget", "exhausted", "interrupted"]
IsEnough = Callable[[Sequence[Trial]], bool]


@dataclass(frozen=True)
class Visited:
    """What a visit came to: its trials in order, and `kept`, whatever its record should say of what was kept."""

    trials: tuple[Trial, ...]
    is_exhausted: bool
    is_interrupted: bool
    kept: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Visit:
    """A visit about to begin: `seconds` are left in all; it should end when `is_enough` says so."""

    standing: Standing
    is_enough: IsEnough
    seconds: float


@dataclass(frozen=True)
class CampaignResult:
    """`seconds` of all its runs, `kept` by target as the last visit that kept something told it."""

    campaign: str
    standings: tuple[Standing, ...]
    kept: Mapping[str, Mapping[str, Any]]
    seconds: float
    reason: Ending
    is_resumed: bool


def run_campaign(
    standings: Sequence[Standing],
    visit: Callable[[Visit], Visited],
    ledger: Ledger,
    *,
    settings: Mapping[str, Any],
    budget_s: float,
    on_visit: Callable[[Standing, float], None] = lambda standing, seconds: None,
    on_failure: Callable[[Standing, str], None] = lambda standing, message: None,
    clock: Callable[[], float] = time.monotonic,
) -> CampaignResult:
    """Visit targets until the budget is spent, nothing is left to try, or Ctrl-C.

    `standings` are those of a new campaign; one that goes on has its own. A visit that raises Infrastructure is
    recorded, and its target is given up after FAILURES of them. Raises Infrastructure when all were given up, or when
    the ledger cannot be written: the campaign is still open then.
    """
    campaign = _Campaign(standings, ledger, settings, clock)
    reason: Ending = "interrupted"
    try:
        reason = campaign.run(visit, budget_s, on_visit, on_failure)
    except KeyboardInterrupt:
        pass
    if reason != "interrupted":
        ledger.append(KIND, {"campaign": campaign.id, "event": "end", "reason": reason, "seconds": campaign.spent})
    found = tuple(campaign.standings.values())
    return CampaignResult(campaign.id, found, campaign.kept, campaign.spent, reason, campaign.is_resumed)


class _Campaign:
    """One run. `standings`, `kept` and `spent` grow from what the ledger holds."""

    def __init__(
        self, standings: Sequence[Standing], ledger: Ledger, settings: Mapping[str, Any], clock: Callable[[], float]
    ) -> None:
        self.ledger, self.clock = ledger, clock
        self.standings = {standing.target: standing for standing in standings}
        self.kept: dict[str, Mapping[str, Any]] = {}
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
            if line.body["event"] == "left":
                standing = Standing(**line.body["standing"])
                self.standings[standing.target] = standing
                self.spent += line.body["seconds"]
                if line.body["kept"] is not None:
                    self.kept[standing.target] = line.body["kept"]
        if begun is not None:
            cut_off = [line for line in self.ledger.find("trial") if line.sequence > begun.sequence]
            self.spent += sum(line.body["verdict"]["seconds"] for line in cut_off)

    def run(
        self,
        visit: Callable[[Visit], Visited],
        budget_s: float,
        on_visit: Callable[[Standing, float], None],
        on_failure: Callable[[Standing, str], None],
    ) -> Ending:
        while self.spent < budget_s:
            ranked = sorted(self.standings.values(), key=lambda standing: -standing.rate)
            if not ranked or ranked[0].rate == 0.0:
                return self._nothing_left()
            on_visit(ranked[0], budget_s - self.spent)
            rival = ranked[1].rate if len(ranked) > 1 else 0.0
            if self._visit(visit, ranked[0], rival, budget_s - self.spent, on_failure):
                return "interrupted"
        return "budget"

    def _visit(
        self,
        visit: Callable[[Visit], Visited],
        standing: Standing,
        rival: float,
        seconds: float,
        on_failure: Callable[[Standing, str], None],
    ) -> bool:
        """Makes one visit and records it; whether it was interrupted."""
        self.ledger.append(KIND, {"campaign": self.id, "event": "visit", "target": standing.target, "rival": rival})
        started, error = self.clock(), None
        visited = Visited((), is_exhausted=False, is_interrupted=False)
        try:
            visited = visit(Visit(standing, lambda trials: is_to_be_left(follow(standing, trials), rival), seconds))
            after = replace(follow(standing, visited.trials), is_exhausted=visited.is_exhausted)
        except Infrastructure as failure:
            error, after = str(failure), replace(standing, failures=standing.failures + 1)
            on_failure(after, error)
        except KeyboardInterrupt:
            visited, after = replace(visited, is_interrupted=True), standing
        took = self.clock() - started
        after = replace(after, visits=after.visits + 1, seconds=standing.seconds + took)
        self.standings[standing.target] = after
        self.spent += took
        if visited.kept is not None:
            self.kept[standing.target] = visited.kept
        body = {"campaign": self.id, "event": "left", "seconds": took, "error": error, "kept": visited.kept}
        self.ledger.append(KIND, {**body, "standing": after.as_json()})
        return visited.is_interrupted

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
