"""`kernelsearch optimize`: a study, then the winner judged again from scratch, then the store."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.cli.proposers import SEARCHES, WRITERS, Ground, ModelOptions, choose_proposers
from kernelsearch.cli.workplace import (
    Workplace,
    chosen_workloads,
    open_workplace,
    parse_seconds,
    read_source,
)
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import PROVENANCE, Accepted, read_accepted
from kernelsearch.errors import UsageError
from kernelsearch.importer.function import is_function
from kernelsearch.ledger.chain import utc_now
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.study import render_study, seed_lows
from kernelsearch.report.text import format_interval, name_candidate, open_console
from kernelsearch.report.verdict import render_verdict
from kernelsearch.sandbox.gpu.judge import GpuJudge
from kernelsearch.sandbox.judge import Judge
from kernelsearch.sandbox.languages import device_of
from kernelsearch.search import FINALISTS, Budget, StudyResult, Trial, run_study
from kernelsearch.search.llm import ModelProposer
from kernelsearch.spec import Candidate, Idea, TargetFolder, Verdict, read_candidate
from kernelsearch.spec.library import SUFFIXES


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
    model: ModelOptions = field(default_factory=ModelOptions)
    idea: Idea | None = None  # for proposers that write sources; its place in the queue is optimize_idea's business


def run(request: Request) -> tuple[dict[str, Any], int]:
    seconds = parse_seconds(request.budget, "budget")
    place = open_workplace(request.threads)
    folder = place.target(request.target)
    workloads = chosen_workloads(folder, request.workload, request.dtype)
    seeds = starting_candidates(folder, request.language, request.candidates, needs_any=request.proposer in SEARCHES)
    judge = place.judge_for(request.language, folder, request.dtype, workloads)
    context = place.context(folder, request.dtype, workloads, request.language)
    console = open_console(stderr=True)
    progress = StudyProgress(console)
    given = seeds[len(seeds) - len(request.candidates) :]
    work = (request.language, request.dtype, workloads, context)
    ground = Ground(place, folder, *work, seeds, given, request.seed, seconds, request.idea)
    proposers = choose_proposers(request.proposer, ground, request.model, progress)
    with progress:
        result = run_study(
            proposers,
            judge.judge,
            place.ledger,
            context=context,
            budget=Budget(seconds, request.trials),
            objects=place.objects,
            on_event=progress,
        )
    console.print(render_study(result, seeds))
    console.print("\n".join(f"{p.name}: {p.ending}." for p in proposers if isinstance(p, ModelProposer) and p.ending))
    winner = None if result.is_interrupted else confirm_best(place, judge, result, context, console)
    stored = None
    if winner is not None:
        trial, verdict = winner
        number = [t.candidate.digest for t in result.trials].index(trial.candidate.digest) + 1
        stored = keep(place, folder, trial.candidate, verdict, Origin(result.context, number, trial.proposer)).folder
        console.print(render_verdict(winner[1]))
        console.print(f"kept in {stored}\nnext: {next_step(request.target)}", markup=False, soft_wrap=True)
    answer: dict[str, Any] = {
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
    for proposer in proposers:
        if isinstance(proposer, ModelProposer):
            answer["spending"] = describe_spending(proposer, winner[1] if winner else None)
            console.print(render_spending(answer["spending"]), markup=False)
    return answer, 130 if result.is_interrupted else 0 if stored else 1


def describe_spending(proposer: ModelProposer, winner: Verdict | None) -> dict[str, Any]:
    """What the calls came to, and what it bought: microseconds that the confirmed winner saves a training step."""
    spent = proposer.spending()
    saved = sum(m.calls * (m.baseline_us - m.candidate_us) for m in winner.measurements) if winner else None
    is_known = spent["cost"] is not None and saved is not None and saved > 0
    return {
        **spent,
        "ending": proposer.ending or None,
        "saved_us": saved,
        "cost_per_saved_us": spent["cost"] / saved if is_known and saved else None,
    }


def render_spending(spent: dict[str, Any]) -> str:
    tokens, cost = spent["tokens"], spent["cost"]
    price = "price not known" if cost is None else f"{cost:.4f} USD ({spent['new_cost']:.4f} of it now)"
    calls = f"{spent['calls']} calls ({spent['recorded']} recorded before, {spent['failed']} failed)"
    counts = f"{tokens['prompt']:,} tokens in ({tokens['cached']:,} cached), {tokens['completion']:,} out"
    bought = f"; {spent['saved_us']:.0f} us saved a training step" if spent["saved_us"] is not None else ""
    each = f", {spent['cost_per_saved_us']:.6f} USD for each" if spent["cost_per_saved_us"] is not None else ""
    return f"Spent: {calls}, {counts}, {price}{bought}{each}."


def starting_candidates(
    folder: TargetFolder, language: str, files: tuple[Path, ...], *, needs_any: bool = True
) -> list[Candidate]:
    """The target's seeds of one language, then the user's: a source at its defaults, or an accepted kernel's folder."""
    name = folder.target.name
    seeds = [read_candidate(name, language, text, stem) for stem, text in folder.seeds(language).items()]
    seeds += [given_candidate(name, language, file) for file in files]
    if not seeds and needs_any:
        raise UsageError(f"target={name!r} has no {language} source to start from: {ways_to_start()}")
    return seeds


def next_step(target: str) -> str:
    """What to do with the kernel of a target, as it was named."""
    return f'fast = kernelsearch.load("{target}")' if is_function(target) else "kernelsearch race"


def ways_to_start() -> str:
    """How to give a search something to start from."""
    ways = ["give one with --candidate FILE (`kernelsearch targets show TARGET --skeleton FILE` writes one to fill in)"]
    return ", or ".join([*ways, *(f"have it written by --proposer {name}" for name in WRITERS)])


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


def confirm_best(
    place: Workplace, judge: Judge | GpuJudge, result: StudyResult, context: dict[str, Any], console: Console
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


@dataclass(frozen=True)
class Origin:
    """Where a kernel was found: the digest of the study's context, the number of its trial, who proposed it."""

    study: str
    trial: int
    proposer: str


def keep(place: Workplace, folder: TargetFolder, candidate: Candidate, verdict: Verdict, origin: Origin) -> Accepted:
    device = device_of(candidate.language)
    return place.store.add(
        Accepted(
            candidate=candidate,
            contract_digest=folder.contract_digest,
            device=device,
            dtype=verdict.dtype,
            study=origin.study,
            trial=origin.trial,
            proposer=origin.proposer,
            verdict=verdict,
            fingerprint=fingerprint(device),
            date=utc_now(),
        )
    )
