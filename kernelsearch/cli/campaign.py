"""`kernelsearch optimize --all`: every target of a training configuration, the most promising first, unattended.

Shares of the step are measured here before the first visit, and the step itself at the end: eager, with the best seed
of each target as it was given, and with what is kept now. Searching is paid from the budget; these two are not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from kernelsearch.build.cpp import cpu_identity
from kernelsearch.cli import race
from kernelsearch.cli.campaign_step import measure_step, remember_seed, seed_kernels
from kernelsearch.cli.optimize import confirm_best, keep, starting_candidates
from kernelsearch.cli.proposers import SEARCHES, make_searches
from kernelsearch.cli.shares import measure_shares, read_shares
from kernelsearch.cli.trainer import describe_config
from kernelsearch.cli.workplace import Workplace, open_workplace, parse_seconds
from kernelsearch.digest import digest
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.errors import UsageError
from kernelsearch.report.campaign import render_campaign, render_step
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.text import open_console
from kernelsearch.sandbox.judge import Judge
from kernelsearch.search import (
    Budget,
    CampaignResult,
    Standing,
    StudyResult,
    Visit,
    Visited,
    run_campaign,
    run_study,
)
from kernelsearch.spec import Candidate, TargetFolder, verdict_from_json
from kernelsearch.timing.roofline import Peaks, measured_peaks

STEPS = 24


@dataclass(frozen=True)
class Request:
    """`from_seeds`: accepted kernels that are here already are neither started from nor measured at the end."""

    config: str
    language: str
    dtype: str
    budget: str
    proposer: str
    seed: int
    from_seeds: bool
    races: bool
    threads: int | None


def run(request: Request) -> tuple[dict[str, Any], int]:
    seconds = parse_seconds(request.budget, "budget")
    if request.proposer not in SEARCHES:
        raise UsageError(f"proposer={request.proposer!r}: with --all choose from {', '.join(SEARCHES)}")
    described = describe_config(request.config)
    place = open_workplace(request.threads)
    folders = [f for f in place.folders() if _has_group(f, request.config, request.dtype) and f.seeds(request.language)]
    if not folders:
        raise UsageError(f"workload={request.config!r}: no target has shapes of it and {request.language} seeds")
    console = open_console(stderr=True)
    shares = read_shares(place, request.config, request.dtype)
    if shares is None:
        console.print(f"measuring where a step of {request.config} spends its time", markup=False)
        shares = measure_shares(place, request.config, request.dtype)
    campaign = _Campaign(request, place, {f.target.name: f for f in folders}, console)
    result = run_campaign(
        campaign.standings(shares),
        campaign.visit,
        place.ledger,
        settings=campaign.settings(),
        budget_s=seconds,
        on_visit=campaign.announce,
        on_failure=lambda standing, message: console.print(f"{standing.target}: {message}", markup=False),
    )
    answer = campaign.summarise(result, shares)
    console.print(render_campaign(answer))
    if result.reason == "interrupted":
        console.print("Next: run the same command again; it goes on where it stopped.", markup=False)
        return answer, 130
    if request.races and result.kept:
        step = measure_step(place, request.config, request.dtype, STEPS, result.kept, from_seeds=request.from_seeds)
        console.print(render_step(step))
        answer["step"] = step
        if described["target_bpb"] is not None and not request.from_seeds:
            answer["race"] = _race(request)
    place.ledger.append("campaign", {"campaign": result.campaign, "event": "report", "report": answer})
    return answer, 0 if result.kept else 1


@dataclass(frozen=True)
class _Campaign:
    """What a campaign works with; targets by name."""

    request: Request
    place: Workplace
    folders: dict[str, TargetFolder]
    console: Console

    def settings(self) -> dict[str, Any]:
        """What makes a campaign the same one: the command, and all that its verdicts depend on."""
        request = self.request
        return {
            "config": request.config,
            "language": request.language,
            "dtype": request.dtype,
            "budget": request.budget,
            "proposer": request.proposer,
            "seed": request.seed,
            "from_seeds": request.from_seeds,
            "contracts": {name: folder.contract_digest for name, folder in self.folders.items()},
            "environment": dict(self.place.environment()),
            "fingerprint": fingerprint(),
        }

    def standings(self, shares: dict[str, Any]) -> list[Standing]:
        """What is known before the first trial: eager times as measured, and what the machine needs at least."""
        eager_us = {name: shares["targets"][name]["us"] for name in self.folders if name in shares["targets"]}
        light_us = self._lights_us(eager_us, again=False)
        if any(light_us[name] > eager_us[name] for name in eager_us):  # the peaks were measured in a bad moment
            light_us = self._lights_us(eager_us, again=True)
        return [Standing(name, us, light_us[name]) for name, us in eager_us.items()]

    def _lights_us(self, names: Iterable[str], *, again: bool) -> dict[str, float]:
        peaks = measured_peaks(self.place.cache_dir, cpu_identity(), again=again)
        return {name: self._light_us(self.folders[name], peaks) for name in names}

    def _light_us(self, folder: TargetFolder, peaks: Peaks) -> float:
        """The least time that all calls of one step could need on this machine."""
        total = 0.0
        for w in folder.workloads(self.request.config, self.request.dtype):
            entry = folder.target.entry(w.entry)
            work = entry.work(w.sizes, w.parameters, w.dtype, backward=entry.has_backward)
            total += w.calls * peaks.speed_of_light_us(work)
        return total

    def announce(self, standing: Standing, seconds: float) -> None:
        what = (
            f"{standing.current_us / 1000:.2f} ms of the step, {standing.left_us / 1000:.2f} above the machine's least"
        )
        self.console.print(f"\n{standing.target}: {what}; {seconds:.0f} s of the budget left", markup=False)

    def visit(self, visit: Visit) -> Visited:
        """A study that goes on where this target's last one was; its winner judged again and kept, if it is new."""
        request, place = self.request, self.place
        folder = self.folders[visit.standing.target]
        workloads = folder.workloads(request.config, request.dtype)
        seeds = starting_candidates(folder, request.language, ())
        starts = seeds + ([] if request.from_seeds else self._accepted(folder))
        judge, context = place.judge(folder, request.dtype, workloads), place.context(folder, request.dtype, workloads)
        try:
            with StudyProgress(self.console) as progress:
                result = run_study(
                    make_searches(request.proposer, folder.target, starts, request.seed)[:1],
                    judge.judge,
                    place.ledger,
                    context=context,
                    budget=Budget(visit.seconds),
                    objects=place.objects,
                    on_event=progress,
                    is_enough=lambda trials: len(trials) >= len(starts) and visit.is_enough(trials),
                )
            remember_seed(place, folder, request.config, request.dtype, result, seeds)
            kept = None if result.is_interrupted else self._keep(folder, judge, result, context)
        finally:
            judge.close()
        return Visited(result.trials, result.reason == "exhausted", result.is_interrupted, kept)

    def _keep(
        self, folder: TargetFolder, judge: Judge, result: StudyResult, context: dict[str, Any]
    ) -> dict[str, Any] | None:
        """What the record says of the winner, which is judged again only once in this context."""
        best = result.best
        if best is None or not best.verdict.accepted:
            return None
        lines = self.place.ledger.find("confirmation", candidate=best.candidate.digest)
        known = [line.body["verdict"] for line in lines if digest(line.body["context"]) == digest(context)]
        if known:
            verdict = verdict_from_json(known[-1])
            winner = (best, verdict) if verdict.accepted else None
        else:
            winner = confirm_best(self.place, judge, result, context, self.console)
        if winner is None:
            return None
        trial, verdict = winner
        stored = keep(self.place, folder, trial, verdict, self.request.dtype, result)
        return {
            "digest": verdict.digest,
            "speedup": verdict.speedup,
            "low": verdict.low,
            "high": verdict.high,
            "origin": trial.candidate.origin,
            "tunables": dict(trial.candidate.tunables),
            "stored": str(stored.folder),
        }

    def _accepted(self, folder: TargetFolder) -> list[Candidate]:
        name, language = folder.target.name, self.request.language
        kernels = self.place.store.kernels(name, "cpu", self.request.dtype)
        found = [k.candidate for k in kernels if k.candidate.language == language]
        return [replace(c, origin=f"accepted-{c.digest[:8]}") for c in found]

    def summarise(self, result: CampaignResult, shares: dict[str, Any]) -> dict[str, Any]:
        seeds = seed_kernels(self.place, self.request.config, self.request.dtype)
        targets = {}
        for standing in sorted(result.standings, key=lambda s: -s.eager_us):
            name, kept = standing.target, result.kept.get(standing.target)
            saved_us = 0.0 if kept is None else standing.eager_us * (1 - 1 / kept["low"])
            targets[name] = {
                "share": shares["targets"][name]["share"],
                "eager_us": standing.eager_us,
                "current_us": round(standing.eager_us - saved_us, 1),
                "light_us": round(standing.light_us, 1),
                "seeds": seeds[name].low if name in seeds else None,
                "kept": None if kept is None else dict(kept),
                "trials": standing.trials,
                "visits": standing.visits,
                "seconds": round(standing.seconds, 1),
                "seconds_per_us": round(standing.seconds / saved_us, 4) if saved_us > 0 else None,
                "failures": standing.failures,
            }
        return {
            "config": self.request.config,
            "dtype": self.request.dtype,
            "device": shares["device"],
            "budget": self.request.budget,
            "from_seeds": self.request.from_seeds,
            "campaign": result.campaign,
            "reason": result.reason,
            "is_resumed": result.is_resumed,
            "seconds": round(result.seconds, 1),
            "step_us": shares["step_us"],
            "targets": targets,
        }


def _has_group(folder: TargetFolder, config: str, dtype: str) -> bool:
    return any(w.group == config for w in folder.workloads(None, dtype))


def _race(request: Request) -> dict[str, Any]:
    """The race of `kernelsearch race` with what is accepted now; it promotes what wins."""
    asked = race.Request(request.config, None, 1, "accepted", (), None, request.dtype, None, request.threads)
    answer, _ = race.run(asked)
    return {key: value for key, value in answer.items() if key != "curves"}
