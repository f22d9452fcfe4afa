"""The end of a study: the best with its proof, whether the search was worth more than chance, what to do next."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kernelsearch.report.text import count, foreign, format_ratio, name_candidate
from kernelsearch.report.verdict import render_verdict
from kernelsearch.search import REJECTED, Reason, StudyResult
from kernelsearch.spec import Candidate

NOISY = "too noisy to tell"
TELLING_TRIALS = 5
REASONS: dict[Reason, str] = {
    "budget": "the budget is spent",
    "exhausted": "nothing more was proposed",
    "diminished": "time is worth more elsewhere",
    "interrupted": "interrupted",
    "failed": "failed",
}


def render_study(result: StudyResult, seeds: Sequence[Candidate] = ()) -> RenderableType:
    """What `optimize` shows at its end; `seeds` are what the search started from."""
    parts: list[RenderableType] = [Text(""), Text(summarise(result))]
    if result.best is not None:
        parts += [Text(""), foreign(f"Best: {name_candidate(result.best.candidate)}", "bold")]
        parts.append(render_verdict(result.best.verdict))
    if len(result.trajectories) > 1:
        parts += [Text(""), _trajectories(result)]
        parts += [Text(sentence) for sentence in compare_with_random(result)]
    parts += [foreign(sentence) for sentence in compare_with_seeds(result, seeds)]
    parts += [Text(""), Text(advise(result))]
    return Group(*parts)


def summarise(result: StudyResult) -> str:
    statuses = ", ".join(f"{status} {count}" for status, count in sorted(result.statuses.items()))
    trials, recorded = count(len(result.trials), "trial", "trials"), len(result.trials) - result.judged
    return (
        f"{trials} in {result.seconds:.0f} s ({result.judged} judged, {recorded} recorded before), "
        f"{REASONS[result.reason]}. {statuses or 'No candidate was tried'}."
    )


def equal_trials(result: StudyResult) -> int:
    """The number of trials that every proposer had."""
    return min((trajectory.trials for trajectory in result.trajectories), default=0)


def compare_with_random(result: StudyResult) -> list[str]:
    """One sentence for each proposer beside random search, at the same number of trials."""
    by_name = {trajectory.proposer: trajectory for trajectory in result.trajectories}
    trials = equal_trials(result)
    if "random" not in by_name or trials == 0:
        return []
    chance = by_name.pop("random").best_low_at(trials)
    return [_compare(name, t.best_low_at(trials), chance, trials) for name, t in by_name.items()]


def seed_lows(result: StudyResult, seeds: Sequence[Candidate]) -> dict[str, float | None]:
    """What each starting source reached as it was given, by name, of those that were tried; None for a refused one."""
    found = {trial.candidate.digest: trial.score for trial in result.trials}
    lows = {s.origin: found[s.digest] for s in seeds if s.digest in found}
    return {name: low if low > REJECTED else None for name, low in lows.items()}


def compare_with_seeds(result: StudyResult, seeds: Sequence[Candidate]) -> list[str]:
    """What the search added to its starting sources as they were given; empty where none of them was tried."""
    given = seed_lows(result, seeds)
    if not given:
        return []
    listed = ", ".join(f"{name} {format_ratio(low)}" for name, low in given.items())
    head = f"Seeds as given: {listed}."
    start, best = max((low for low in given.values() if low is not None), default=None), result.best
    if start is None or best is None:
        return [head]
    gain = best.score / start
    added = f"{format_ratio(gain)} the best of them" if gain > 1 else "no better than the best of them"
    return [f"{head} Found: {format_ratio(best.score)}, {added} (the best of many trials is partly lucky)."]


def advise(result: StudyResult) -> str:
    """What to do next."""
    if result.is_interrupted:
        return "Next: run the same command again; it goes on where it stopped."
    if result.best is not None and result.best.verdict.accepted:
        return "The best is judged again from scratch before it is kept."
    equal = [trial.verdict for trial in result.trials if trial.verdict.passed]
    if equal and all(verdict.speedup is None for verdict in equal):
        said = f"{len(equal)} equal and none the best: {equal[-1].detail}"
        return f"{said}. Next: the same command where it can be timed."
    if equal and all(not verdict.accepted and NOISY in verdict.detail for verdict in equal):
        return f"Nothing was accepted: {equal[-1].detail}. Next: the same command when the machine is quieter."
    if result.reason == "exhausted":
        return "No candidate beat the baseline. Next: judge your own with `kernelsearch check FILE --target TARGET`."
    return "No candidate beat the baseline yet. Next: a larger `--budget`; what was judged is not judged again."


def _compare(name: str, low: float | None, chance: float | None, trials: int) -> str:
    head = f"After {count(trials, 'trial', 'trials')} each: {name} {format_ratio(low)}, random {format_ratio(chance)}"
    if trials < TELLING_TRIALS:
        return f"{head}: too few to tell."
    if low == chance:
        return f"{head}: no difference."
    return f"{head}." if (low or 0.0) > (chance or 0.0) else f"{head}: {name} was no better than chance here."


def _trajectories(result: StudyResult) -> Table:
    trials = equal_trials(result)
    table = Table(box=None, pad_edge=False)
    table.add_column("proposer")
    for title in ("trials", "judged", f"best after {trials}", "best of all", "found at trial"):
        table.add_column(title, justify="right")
    for trajectory in result.trajectories:
        number, low = trajectory.improvements[-1] if trajectory.improvements else (None, None)
        table.add_row(
            foreign(trajectory.proposer),
            Text(str(trajectory.trials)),
            Text(str(trajectory.judged)),
            Text(format_ratio(trajectory.best_low_at(trials))),
            Text(format_ratio(low)),
            Text("-" if number is None else str(number)),
        )
    return table
