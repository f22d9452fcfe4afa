"""The searches in a ledger: studies that share a context are one search, however often it was stopped and resumed.

A resumed study is told what is recorded at no cost, and the ledger holds each verdict once: trials are counted as they
were judged, and time is that in which a study ran.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kernelsearch.ledger import Line
from kernelsearch.report.rows import name_workloads
from kernelsearch.report.table import Table
from kernelsearch.report.text import count, format_interval, format_ratio, shown


@dataclass(frozen=True)
class Judged:
    """One verdict: `number` among its proposer's, `seconds` of searching before it, `low` where it was timed."""

    number: int
    proposer: str
    seconds: float
    candidate: str
    name: str
    origin: str
    language: str
    tunables: Mapping[str, Any]
    source: str
    verdict: Mapping[str, Any]

    @property
    def low(self) -> float | None:
        low: float | None = self.verdict["low"]
        return low if self.verdict["status"] in ("PASSED", "SLOWER") else None

    @property
    def outcome(self) -> str:
        """Accepted, passed, or the gate that ended it."""
        verdict = self.verdict
        if verdict["status"] == "PASSED":
            return "accepted" if verdict["accepted"] else "equal, not accepted"
        if verdict["status"] == "SLOWER":
            return "slower at a first look"
        failed = [gate["name"] for gate in verdict["gates"] if not gate["passed"]]
        return f"stopped at {failed[-1]}" if failed else str(verdict["status"]).lower()


@dataclass(frozen=True)
class Search:
    """All that was judged for one target in one context, in order."""

    context: str
    settings: Mapping[str, Any]
    proposers: tuple[str, ...]
    budget: Mapping[str, Any]
    reason: str | None
    started: str
    latest: str
    seconds: float
    trials: tuple[Judged, ...]

    @property
    def target(self) -> str:
        return str(self.settings.get("target", "-"))

    @property
    def shapes(self) -> str:
        return name_workloads(self.settings)

    @property
    def title(self) -> str:
        return f"{self.settings.get('dtype', '-')}, shapes {self.shapes}"

    @property
    def best(self) -> Judged | None:
        timed = [t for t in self.trials if t.low is not None and t.verdict["status"] == "PASSED"]
        return max(timed, key=lambda t: (t.verdict["accepted"], t.low or 0.0), default=None)

    @property
    def is_running(self) -> bool:
        """Whether its last study left no end: it runs, or it was killed."""
        return self.reason is None

    @property
    def ended(self) -> str:
        words = {"budget": "the budget is spent", "exhausted": "every candidate was tried", None: "no end recorded"}
        return words.get(self.reason, str(self.reason))

    @property
    def state(self) -> str:
        limits = [f"{self.budget['trials']} trials"] if self.budget.get("trials") else []
        limits += [f"{self.budget['seconds']:.0f} s"] if self.budget.get("seconds") else []
        best = "nothing timed yet"
        if self.best:
            standing = "best accepted" if self.best.verdict["accepted"] else "nothing accepted, best"
            best = f"{standing} {format_ratio(self.best.low)}"
        judged = count(len(self.trials), "verdict", "verdicts")
        budget = f"budget {' or '.join(limits)}; " if limits else ""
        return f"{judged} in {self.seconds:.0f} s of searching; {best}; {budget}{self.ended}"


def find_searches(lines: Sequence[Line]) -> tuple[Search, ...]:
    """Searches in the order in which they began."""
    by_context: dict[str, list[Line]] = {}
    ends: dict[str, Line] = {}
    trials: dict[str, list[Line]] = {}
    for line in lines:
        if line.kind == "study":
            by_context.setdefault(line.body["context"], []).append(line)
        elif line.kind == "study-end":
            ends[line.body["study"]] = line
        elif line.kind == "trial" and line.body["study"] is not None:
            trials.setdefault(line.body["study"], []).append(line)
    return tuple(_search(context, studies, ends, trials) for context, studies in by_context.items())


def _search(
    context: str, studies: Sequence[Line], ends: Mapping[str, Line], trials: Mapping[str, Sequence[Line]]
) -> Search:
    judged: list[Judged] = []
    numbers: Counter[str] = Counter()
    before, last = 0.0, studies[-1]
    for study in studies:
        began = _clock(study.time)
        own = trials.get(study.digest, ())
        for line in own:
            numbers[line.body["proposer"]] += 1
            seconds = before + _clock(line.time) - began
            judged.append(_judged(line, numbers[line.body["proposer"]], seconds))
        end = ends.get(study.digest)
        before += end.body["seconds"] if end else (_clock(own[-1].time) - began if own else 0.0)
    latest = [study.time for study in studies] + [t.time for s in studies for t in trials.get(s.digest, ())]
    return Search(
        context=context,
        settings=last.body["settings"],
        proposers=tuple(dict.fromkeys(p["name"] for study in studies for p in study.body["proposers"])),
        budget=last.body["budget"],
        reason=ends[last.digest].body["reason"] if last.digest in ends else None,
        started=studies[0].time,
        latest=max(latest),
        seconds=before,
        trials=tuple(judged),
    )


def _judged(line: Line, number: int, seconds: float) -> Judged:
    body = line.body
    bound = [f"{name}={value}" for name, value in sorted(body["tunables"].items())]
    return Judged(
        number=number,
        proposer=body["proposer"],
        seconds=max(0.0, seconds),
        candidate=body["candidate"],
        name=shown(" ".join([body["origin"], *bound])),
        origin=body["origin"],
        language=body["language"],
        tunables=body["tunables"],
        source=body["source"],
        verdict=body["verdict"],
    )


def _clock(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def best_so_far(search: Search, proposer: str) -> list[dict[str, Any]]:
    """One row for each improvement, and a last one that carries the line to the end."""
    own = [trial for trial in search.trials if trial.proposer == proposer]
    rows: list[dict[str, Any]] = []
    for trial in own:
        if trial.low is not None and (not rows or trial.low > rows[-1]["low"]):
            rows.append(
                {"name": proposer, "trial": trial.number, "seconds": trial.seconds, "low": trial.low, "is_end": False}
            )
    if rows:
        rows.append({**rows[-1], "trial": len(own), "seconds": search.seconds, "is_end": True})
    return rows


def reached(steps: Sequence[Mapping[str, Any]], proposer: str) -> float | None:
    return max((row["low"] for row in steps if row["name"] == proposer), default=None)


def list_searches(searches: Sequence[Search]) -> Table:
    """One row a search, the newest first."""
    titles = ("began", "target", "shapes", "proposers", "verdicts", "s", "best", "accepted", "ended")
    rows = []
    for search in reversed(searches):
        best = search.best
        verdict = best.verdict if best else {}
        ratio = format_interval(*(verdict.get(key) for key in ("speedup", "low", "high")))
        counts = (str(len(search.trials)), f"{search.seconds:.0f}", ratio, "yes" if verdict.get("accepted") else "no")
        name = shown(search.target)
        rows.append(
            (
                clock(search.started),
                name,
                search.shapes,
                ", ".join(search.proposers),
                *counts,
                search.reason or "no end recorded",
            )
        )
    return Table(titles, tuple(rows), "Searches of this ledger, the newest first")


def list_outcomes(searches: Sequence[Search]) -> Table:
    """Where the candidates of each target ended, by gate."""
    found: dict[str, Counter[str]] = {}
    for search in searches:
        found.setdefault(search.target, Counter()).update(trial.outcome for trial in search.trials)
    rows = []
    for target, outcomes in sorted(found.items()):
        listed = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.most_common())
        rows.append((shown(target), str(outcomes.total()), listed or "none"))
    return Table(("target", "verdicts", "where they ended"), tuple(rows), "Verdicts by gate")


def clock(time: str) -> str:
    """A ledger's time to the minute."""
    return time[:16].replace("T", " ")


def list_trials(search: Search) -> Table:
    """Every verdict, the newest first."""
    titles = ("proposer", "trial", "s", "candidate", "outcome", "speedup", "why")
    return Table(titles, tuple(_cells(trial) for trial in reversed(search.trials)))


def _cells(trial: Judged) -> tuple[str, ...]:
    verdict = trial.verdict
    why = " ".join(shown(" ".join(filter(None, (verdict["detail"], verdict["counterexample"])))).split())
    interval = format_interval(verdict["speedup"], verdict["low"], verdict["high"])
    shortened = why if len(why) <= 300 else f"{why[:299]}..."
    return (
        trial.proposer,
        str(trial.number),
        f"{trial.seconds:.0f}",
        trial.name,
        trial.outcome,
        interval,
        shortened,
    )
