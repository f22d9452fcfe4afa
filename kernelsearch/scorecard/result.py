"""What the verdicts over the corpora say of the judge, per target and in all."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from statistics import median, quantiles
from typing import Any

from kernelsearch.scorecard.equivalents import is_reviewed
from kernelsearch.scorecard.journal import Row
from kernelsearch.scorecard.rules import RULES

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MutantScore:
    """Wrong kernels: how many were judged and accepted, and up to what rate the accepted ones may go with 95%.

    The last three are accepted and total, by half of the corpus, dtype, and the pass that the change is in.
    """

    total: int
    accepted: int
    upper95: float
    refused_by: Mapping[str, int]
    by_split: Mapping[str, tuple[int, int]]
    by_dtype: Mapping[str, tuple[int, int]]
    by_pass: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class LeftOut:
    """Changes that are no wrong kernels, and listed equivalents that the judge refused, which contradicts the list."""

    unbuilt: int
    identical: int
    repeated: int
    reviewed: int
    reviewed_but_refused: int


@dataclass(frozen=True)
class HonestScore:
    total: int
    accepted: int
    refused_by: Mapping[str, int]


@dataclass(frozen=True)
class Flakes:
    """Kernels accepted in one attempt and refused in another, of `verdicts` that were such repetitions."""

    count: int
    verdicts: int


@dataclass(frozen=True)
class Seconds:
    """Wall time of a verdict by outcome (None without one) and, in all, by gate."""

    refused_median: float | None
    refused_p95: float | None
    accepted_median: float | None
    accepted_p95: float | None
    by_gate: Mapping[str, float]


@dataclass(frozen=True)
class RuleScore:
    """A public rule on the same kernels: mutants it accepts, honest kernels it accepts, each of how many."""

    mutants_accepted: int
    mutants: int
    honest_accepted: int
    honest: int


@dataclass(frozen=True)
class Score:
    """One target's figures, or those of all."""

    mutants: MutantScore
    left_out: LeftOut
    honest: HonestScore
    flakes: Flakes
    seconds: Seconds
    rules: Mapping[str, RuleScore]


@dataclass(frozen=True)
class CorporaResult:
    """The scorecard's part that rests on corpora; `survivors` are the accepted mutants, `refused` the honest losers."""

    harness: str
    overall: Score
    targets: Mapping[str, Score]
    survivors: tuple[Row, ...]
    refused: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of `scorecard --json` that this part knows; every target has the same."""
        targets = {name: _score_json(score) for name, score in self.targets.items()}
        return {"harness": self.harness, **_score_json(self.overall), "targets": targets}


def summarise(rows: Iterable[Row], harness: str) -> CorporaResult:
    kept = list(rows)
    by_target: dict[str, list[Row]] = defaultdict(list)
    for row in kept:
        by_target[row.target].append(row)
    first = [row for row in kept if row.attempt == 0]
    return CorporaResult(
        harness,
        _score(kept),
        {name: _score(group) for name, group in sorted(by_target.items())},
        tuple(row for row in wrong_kernels(first) if row.outcome == "accepted"),
        tuple(row for row in first if row.kind == "honest" and row.outcome == "refused"),
    )


def wrong_kernels(rows: Sequence[Row]) -> list[Row]:
    """Mutants that are kernels, other than their base, not listed as equivalent; each object code once."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.kind == "mutant" and row.outcome in ("accepted", "refused") and not is_reviewed(row):
            found.setdefault((row.target, row.dtype, row.artifact), row)
    return list(found.values())


def pass_of(function: str) -> str:
    """ "forward" or "backward" as the changed function's name says, "shared" where it does not."""
    if re.search("backward|gradient", function):
        return "backward"
    return "forward" if "forward" in function else "shared"


def upper_bound(events: int, trials: int) -> float:
    """The rate that so few events exclude with 95%: 3 / n for none, else one-sided Clopper and Pearson (1934)."""
    if trials == 0:
        return 1.0
    if events == 0:
        return min(1.0, 3.0 / trials)
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        likely = sum(comb(trials, k) * middle**k * (1 - middle) ** (trials - k) for k in range(events + 1))
        low, high = (middle, high) if likely > 1 - CONFIDENCE else (low, middle)
    return high


def _score(rows: Sequence[Row]) -> Score:
    first = [row for row in rows if row.attempt == 0]
    wrong = wrong_kernels(first)
    honest = [row for row in first if row.kind == "honest"]
    return Score(
        _mutant_score(wrong),
        _left_out(first, wrong),
        HonestScore(len(honest), _accepted(honest), _gates(honest)),
        _flakes(rows),
        _seconds([row for row in rows if row.outcome in ("accepted", "refused")]),
        {rule: _rule_score(rule, wrong, honest) for rule in RULES},
    )


def _mutant_score(wrong: Sequence[Row]) -> MutantScore:
    bound = upper_bound(_accepted(wrong), len(wrong))
    by_split, by_dtype = _shares(wrong, lambda row: row.split), _shares(wrong, lambda row: row.dtype)
    by_pass = _shares(wrong, lambda row: pass_of(row.function))
    return MutantScore(len(wrong), _accepted(wrong), bound, _gates(wrong), by_split, by_dtype, by_pass)


def _left_out(first: Sequence[Row], wrong: Sequence[Row]) -> LeftOut:
    mutants = [row for row in first if row.kind == "mutant"]
    outcomes = Counter(row.outcome for row in mutants)
    reviewed = [row for row in mutants if row.outcome in ("accepted", "refused") and is_reviewed(row)]
    repeated = outcomes["accepted"] + outcomes["refused"] - len(reviewed) - len(wrong)
    contradicted = len(reviewed) - _accepted(reviewed)
    return LeftOut(outcomes["unbuilt"], outcomes["identical"], repeated, len(reviewed), contradicted)


def _flakes(rows: Sequence[Row]) -> Flakes:
    answers: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row.outcome in ("accepted", "refused"):
            answers[row.kind, row.digest, row.dtype].append(row.outcome)
    repeated = [found for found in answers.values() if len(found) > 1]
    return Flakes(sum(len(set(found)) > 1 for found in repeated), sum(len(found) for found in repeated))


def _seconds(rows: Sequence[Row]) -> Seconds:
    refused = [row.seconds for row in rows if row.outcome == "refused"]
    accepted = [row.seconds for row in rows if row.outcome == "accepted"]
    by_gate: Counter[str] = Counter()
    for row in rows:
        by_gate.update(dict(row.gates))
    return Seconds(_median(refused), _p95(refused), _median(accepted), _p95(accepted), dict(by_gate))


def _rule_score(rule: str, wrong: Sequence[Row], honest: Sequence[Row]) -> RuleScore:
    of_wrong = [row.rules[rule] for row in wrong if row.rules is not None]
    of_honest = [row.rules[rule] for row in honest if row.rules is not None]
    return RuleScore(sum(of_wrong), len(of_wrong), sum(of_honest), len(of_honest))


def _score_json(score: Score) -> dict[str, Any]:
    """A score as plain values; times under the contract's names too."""
    plain = asdict(score)
    seconds = plain["seconds"]
    return plain | {"seconds": {"rejected_median": seconds["refused_median"], **seconds}}


def _accepted(rows: Sequence[Row]) -> int:
    return sum(row.outcome == "accepted" for row in rows)


def _gates(rows: Sequence[Row]) -> dict[str, int]:
    """Refusals by gate; a runner that dies while it starts is refused outside of one."""
    return dict(Counter(row.gate or "start" for row in rows if row.outcome == "refused"))


def _shares(rows: Sequence[Row], name: Callable[[Row], str]) -> dict[str, tuple[int, int]]:
    """Accepted and total, by name."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[name(row)].append(row)
    return {key: (_accepted(group), len(group)) for key, group in sorted(groups.items())}


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _p95(values: Sequence[float]) -> float | None:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else _median(values)
