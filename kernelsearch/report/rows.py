"""A ledger as rows: its studies, its trials by status, and the best record of every target, dtype and workload group.

Only figures of one context compare: where a contract, a machine or the harness changed, the best is that of the last
context in which the target was searched. Where a winner was judged again from scratch, the second verdict counts: the
best of many noisy measurements was partly lucky.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.ledger import Line, read_lines
from kernelsearch.spec import Value, Verdict, verdict_from_json


@dataclass(frozen=True)
class StudyRow:
    """One run of a study. `ended` is the recorded reason, "unfinished" where a killed run left none."""

    time: str
    target: str
    dtype: str
    workloads: str
    proposers: tuple[str, ...]
    trials: int
    judged: int
    best_low: float | None
    ended: str


@dataclass(frozen=True)
class BestRow:
    """The best record of one target: the highest lower end, an accepted one before any other."""

    target: str
    dtype: str
    workloads: str
    language: str
    candidate: str
    origin: str
    tunables: Mapping[str, Value]
    is_accepted: bool
    is_confirmed: bool
    speedup: float
    low: float
    high: float
    time: str


@dataclass(frozen=True)
class LedgerReport:
    path: str
    lines: int
    trials: int
    statuses: Mapping[str, int]
    studies: tuple[StudyRow, ...]
    best: tuple[BestRow, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def report_ledger(path: Path) -> LedgerReport:
    """Read and check the ledger at `path`. Raises CorruptState where it is damaged, UsageError where there is none."""
    return report_lines(list(read_lines(path)), str(path))


def report_lines(lines: Sequence[Line], path: str) -> LedgerReport:
    trials = [line for line in lines if line.kind == "trial"]
    return LedgerReport(
        path=path,
        lines=len(lines),
        trials=len(trials),
        statuses=dict(sorted(Counter(line.body["verdict"]["status"] for line in trials).items())),
        studies=_studies(lines, trials),
        best=_best(lines, trials),
    )


def best_verdicts(path: Path) -> tuple[Verdict, ...]:
    """The first verdict, gates and all, of each target's best kernel (report_ledger)."""
    lines = list(read_lines(path))
    trials = [line for line in lines if line.kind == "trial"]
    verdicts = {(line.body["candidate"], line.time): line.body["verdict"] for line in trials}
    return tuple(verdict_from_json(verdicts[row.candidate, row.time]) for row in _best(lines, trials))


def name_workloads(settings: Mapping[str, Any]) -> str:
    """The groups that a study timed: "tiny" for the workloads tiny/full and tiny/window."""
    names = [str(workload["name"]) for workload in settings.get("workloads", ())]
    return ", ".join(dict.fromkeys(name.split("/")[0] for name in names)) or "-"


def _studies(lines: Sequence[Line], trials: Sequence[Line]) -> tuple[StudyRow, ...]:
    ends = {line.body["study"]: line.body for line in lines if line.kind == "study-end"}
    by_study: dict[str, list[Line]] = {}
    for trial in trials:
        by_study.setdefault(trial.body["study"], []).append(trial)
    starts = [line for line in lines if line.kind == "study"]
    return tuple(_study(line, by_study.get(line.digest, []), ends.get(line.digest)) for line in starts)


def _study(start: Line, trials: Sequence[Line], end: Mapping[str, Any] | None) -> StudyRow:
    settings = start.body["settings"]
    ways = end["trajectories"] if end else []
    lows = [low for way in ways for _, low in way["improvements"]] if end else _lows(trials)
    return StudyRow(
        time=start.time,
        target=str(settings.get("target", "-")),
        dtype=str(settings.get("dtype", "-")),
        workloads=name_workloads(settings),
        proposers=tuple(proposer["name"] for proposer in start.body["proposers"]),
        trials=end["trials"] if end else len(trials),
        judged=end["judged"] if end else len(trials),
        best_low=max(lows, default=None),
        ended=end["reason"] if end else "unfinished",
    )


def _lows(trials: Sequence[Line]) -> list[float]:
    verdicts = [trial.body["verdict"] for trial in trials]
    return [verdict["low"] for verdict in verdicts if _is_timed(verdict)]


def _is_timed(verdict: Mapping[str, Any]) -> bool:
    return verdict["status"] == "PASSED" and verdict["low"] is not None


@dataclass(frozen=True)
class _Contestant:
    """A trial with the verdict that counts: that of its confirmation where there is one."""

    trial: Line
    verdict: Mapping[str, Any]
    is_confirmed: bool

    @property
    def rank(self) -> tuple[bool, bool, float]:
        accepted = self.verdict["accepted"]
        return accepted and self.is_confirmed, accepted, self.verdict["low"]


def _best(lines: Sequence[Line], trials: Sequence[Line]) -> tuple[BestRow, ...]:
    settings = {line.body["context"]: line.body["settings"] for line in lines if line.kind == "study"}
    confirmed = _confirmed(lines)
    last_context: dict[tuple[str, str, str], str] = {}
    best: dict[str, _Contestant] = {}
    for trial in trials:
        context, verdict = trial.body["context"], trial.body["verdict"]
        timed = {"workloads": [{"name": measured["workload"]} for measured in verdict["measurements"]]}  # no study
        last_context[verdict["target"], verdict["dtype"], name_workloads(settings.get(context, timed))] = context
        again = confirmed.get((trial.body["candidate"], context))
        contestant = _Contestant(trial, again or verdict, again is not None)
        if _is_timed(contestant.verdict) and (context not in best or contestant.rank > best[context].rank):
            best[context] = contestant
    found = [(key[2], best[context]) for key, context in sorted(last_context.items()) if context in best]
    return tuple(_best_row(workloads, contestant) for workloads, contestant in found)


def _confirmed(lines: Sequence[Line]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The last confirming verdict by candidate and context; its record holds the context itself or its digest."""
    found = {}
    for line in lines:
        if line.kind == "confirmation":
            context = line.body["context"]
            key = (line.body["candidate"], context if isinstance(context, str) else digest(context))
            found[key] = line.body["verdict"]
    return found


def _best_row(workloads: str, contestant: _Contestant) -> BestRow:
    body, verdict = contestant.trial.body, contestant.verdict
    return BestRow(
        target=verdict["target"],
        dtype=verdict["dtype"],
        workloads=workloads,
        language=verdict["language"],
        candidate=body["candidate"],
        origin=body["origin"],
        tunables=body["tunables"],
        is_accepted=verdict["accepted"],
        is_confirmed=contestant.is_confirmed,
        speedup=verdict["speedup"],
        low=verdict["low"],
        high=verdict["high"],
        time=contestant.trial.time,
    )
