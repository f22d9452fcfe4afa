"""`kernelsearch optimize`: a study, then the winner judged again from scratch, then the store."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.cli.workplace import Workplace, chosen_workloads, open_workplace, parse_seconds, read_source
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import PROVENANCE, Accepted, read_accepted
from kernelsearch.errors import UsageError
from kernelsearch.ledger.chain import utc_now
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.study import render_study, seed_lows
from kernelsearch.report.text import format_interval, name_candidate, open_console
from kernelsearch.report.verdict import render_verdict
from kernelsearch.sandbox.judge import Judge
from kernelsearch.search import (
    Budget,
    EvolveProposer,
    Proposer,
    RandomProposer,
    Space,
    StudyResult,
    SweepProposer,
    Trial,
    run_study,
    templates,
)
from kernelsearch.spec import Candidate, Target, TargetFolder, Verdict, read_candidate
from kernelsearch.spec.library import SUFFIXES

FINALISTS = 3
PROPOSERS = ("evolve", "sweep", "random")


@dataclass(frozen=True)
class Request:
    target: str
    language: str
    workload: str | None
    dtype: str
    budget: str
    trials: int | None
    proposer: str
    candidates: tuple[Path, ...]
    seed: int
    threads: int | None


def run(request: Request) -> tuple[dict[str, Any], int]:
    seconds = parse_seconds(request.budget, "budget")
    place = open_workplace(request.threads)
    folder = place.target(request.target)
    workloads = chosen_workloads(folder, request.workload, request.dtype)
    seeds = starting_candidates(folder, request.language, request.candidates)
    judge = place.judge(folder, request.dtype, workloads)
    context = place.context(folder, request.dtype, workloads)
    console = open_console(stderr=True)
    with StudyProgress(console) as progress:
        result = run_study(
            make_proposers(request.proposer, folder.target, seeds, request.seed),
            judge.judge,
            place.ledger,
            context=context,
            budget=Budget(seconds, request.trials),
            objects=place.objects,
            on_event=progress,
        )
    console.print(render_study(result, seeds))
    winner = None if result.is_interrupted else confirm_best(place, judge, result, context, console)
    stored = None
    if winner is not None:
        stored = keep(place, folder, winner[0], winner[1], request.dtype, result).folder
        console.print(render_verdict(winner[1]))
        console.print(f"kept in {stored}\nnext: kernelsearch race", markup=False, soft_wrap=True)
    answer = {
        "target": folder.target.name,
        "language": request.language,
        "trials": len(result.trials),
        "statuses": result.statuses,
        "best": winner[1].as_json() if winner else (result.best.verdict.as_json() if result.best else None),
        "stored": str(stored) if stored else None,
        "seconds": result.seconds,
        "seeds": seed_lows(result, seeds),
        "proposers": [trajectory.as_json() for trajectory in result.trajectories],
    }
    return answer, 130 if result.is_interrupted else 0 if stored else 1


def starting_candidates(folder: TargetFolder, language: str, files: tuple[Path, ...]) -> list[Candidate]:
    """The target's seeds of one language, then the user's: a source at its defaults, or an accepted kernel's folder."""
    name = folder.target.name
    seeds = [read_candidate(name, language, text, stem) for stem, text in folder.seeds(language).items()]
    seeds += [given_candidate(name, language, file) for file in files]
    if not seeds:
        raise UsageError(f"target={name!r} has no {language} source to start from: {ways_to_start()}")
    return seeds


def ways_to_start() -> str:
    """How to give a search something to start from."""
    ways = ["give one with --candidate FILE (`kernelsearch targets show TARGET --skeleton FILE` writes one to fill in)"]
    ways += [f"have it written by --proposer {name}" for name in ("llm", "command") if name in PROPOSERS]
    return ", or ".join(ways)


def given_candidate(target: str, language: str, path: Path) -> Candidate:
    if (path / PROVENANCE).is_file():
        kept = read_accepted(path).candidate
        if (kept.target, kept.language) != (target, language):
            raise UsageError(f"candidate={str(path)!r}: a {kept.language} kernel for target {kept.target!r}")
        return replace(kept, origin=path.name)
    if path.suffix != SUFFIXES[language]:
        raise UsageError(
            f"candidate={str(path)!r}: give a {language} source ({SUFFIXES[language]}) or an accepted kernel's folder"
        )
    return read_candidate(target, language, read_source(path), path.stem)


def make_proposers(name: str, target: Target, seeds: list[Candidate], seed: int) -> list[Proposer]:
    """The proposer of that name, and random search over the same sources beside it."""
    if name not in PROPOSERS:
        raise UsageError(f"proposer={name!r}: choose from {', '.join(PROPOSERS)}")
    if name == "sweep":
        return [SweepProposer(seeds, seed), RandomProposer(seeds, seed + 1)]
    beside = RandomProposer([template.candidate for template in templates(target, Space(seeds).seeds)], seed + 1)
    return [EvolveProposer(seeds, seed, target), beside] if name == "evolve" else [beside]


def confirm_best(
    place: Workplace, judge: Judge, result: StudyResult, context: dict[str, Any], console: Console
) -> tuple[Trial, Verdict] | None:
    """The best accepted trial that is accepted again, with fresh seeds and twice the effort.

    The best of many noisy measurements is partly lucky; only the second measurement is reported and stored.
    """
    accepted = {t.candidate.digest: t for t in result.trials if t.verdict.accepted}
    for trial in sorted(accepted.values(), key=lambda t: t.score, reverse=True)[:FINALISTS]:
        console.print(f"judging again from scratch: {name_candidate(trial.candidate)}", markup=False)
        verdict = judge.confirm(trial.candidate)
        interval = format_interval(verdict.speedup, verdict.low, verdict.high)
        console.print(f"  {verdict.status}: {verdict.detail} {interval}", markup=False)
        body = {"candidate": trial.candidate.digest, "context": context, "verdict": verdict.as_json()}
        place.ledger.append("confirmation", body)
        if verdict.accepted:
            return trial, verdict
    return None


def keep(
    place: Workplace, folder: TargetFolder, trial: Trial, verdict: Verdict, dtype: str, result: StudyResult
) -> Accepted:
    digests = [t.candidate.digest for t in result.trials]
    return place.store.add(
        Accepted(
            candidate=trial.candidate,
            contract_digest=folder.contract_digest,
            device="cpu",
            dtype=dtype,
            study=result.context,
            trial=digests.index(trial.candidate.digest) + 1,
            proposer=trial.proposer,
            verdict=verdict,
            fingerprint=fingerprint(),
            date=utc_now(),
        )
    )
