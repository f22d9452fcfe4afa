"""`kernelsearch optimize --all`: every target of a training configuration, the most promising first, unattended.

Shares of the step are measured here before the first visit, and the step itself at the end: eager, with the best seed
of each target as it was given, and with what is kept now. Searching, and judging the winners again, is paid from the
budget; these two are not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rich.console import Console

from kernelsearch.build.cpp import cpu_identity
from kernelsearch.cli import race
from kernelsearch.cli.campaign_answer import summarise
from kernelsearch.cli.campaign_step import measure_step, remember_seed
from kernelsearch.cli.kernels import spans_of
from kernelsearch.cli.optimize import Origin, keep, starting_candidates
from kernelsearch.cli.proposers import SEARCHES, WRITERS, Ground, ModelOptions, choose_proposers, make_clients
from kernelsearch.cli.shares import measure_shares, read_shares
from kernelsearch.cli.trainer import describe_config
from kernelsearch.cli.workplace import Workplace, open_workplace, parse_seconds
from kernelsearch.digest import digest
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.errors import UsageError
from kernelsearch.report.campaign import render_campaign, render_step
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.text import format_interval, name_candidate, open_console
from kernelsearch.sandbox.judge import Judge
from kernelsearch.search import (
    Budget,
    Finalist,
    Standing,
    Visit,
    Visited,
    Work,
    choose_finalists,
    recorded_candidate,
    run_campaign,
    run_study,
)
from kernelsearch.search.llm import ModelProposer
from kernelsearch.spec import Candidate, TargetFolder, Verdict, verdict_from_json
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
    model: ModelOptions = field(default_factory=ModelOptions)


def run(request: Request) -> tuple[dict[str, Any], int]:
    seconds = parse_seconds(request.budget, "budget")
    if request.proposer not in (*SEARCHES, *WRITERS):
        raise UsageError(f"proposer={request.proposer!r}: with --all choose from {', '.join((*SEARCHES, *WRITERS))}")
    if request.proposer == "llm":  # now: a key is taken out of the environment once
        request = replace(request, model=replace(request.model, made=make_clients(request.model)))
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
    work = Work(
        campaign.visit,
        campaign.settle,
        spans_of(folders),
        on_visit=campaign.announce,
        on_failure=lambda standing, message: console.print(f"{standing.target}: {message}", markup=False),
    )
    result = run_campaign(
        campaign.standings(shares), work, place.ledger, settings=campaign.settings(), budget_s=seconds
    )
    answer = summarise(request, place, folders, result, shares)
    console.print(render_campaign(answer))
    if result.reason == "interrupted":
        console.print("Next: run the same command again; it goes on where it stopped.", markup=False)
        return answer, 130
    kept = {name: kernel for name, kernel in result.kept.items() if kernel is not None}
    if request.races and kept:
        step = measure_step(place, request.config, request.dtype, STEPS, kept, from_seeds=request.from_seeds)
        console.print(render_step(step))
        answer["step"] = step
        if described["target_bpb"] is not None and not request.from_seeds:
            answer["race"] = _race(request)
    place.ledger.append("campaign", {"campaign": result.campaign, "event": "report", "report": answer})
    return answer, 0 if kept else 1


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
            "models": list(request.model.models),
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
        """A study that goes on where this target's last one was."""
        request, place = self.request, self.place
        folder, judge, context = self._ground(visit.standing)
        seeds = starting_candidates(folder, request.language, ())
        starts = seeds + ([] if request.from_seeds else self._accepted(folder))
        try:
            with StudyProgress(self.console) as progress:
                work = (request.language, request.dtype, judge.workloads, context)
                ground = Ground(place, folder, *work, starts, [], request.seed, visit.seconds)
                options = self._left_to_spend(visit.elsewhere)
                proposer = choose_proposers(request.proposer, ground, options, progress)[0]
                result = run_study(
                    [proposer],
                    judge.judge,
                    place.ledger,
                    context=context,
                    budget=Budget(visit.seconds),
                    objects=place.objects,
                    on_event=progress,
                    is_enough=lambda trials: len(trials) >= len(starts) and visit.is_enough(trials),
                    least=visit.least,
                    prepare=judge.prepare if request.proposer in SEARCHES else None,
                )
        finally:
            judge.close()
        remember_seed(place, folder, request.config, request.dtype, result, seeds)
        finalists = choose_finalists(result.trials, {seed.digest for seed in seeds})
        spending = proposer.spending() if isinstance(proposer, ModelProposer) else None
        return Visited(result.trials, result.reason == "exhausted", result.is_interrupted, finalists, spending)

    def _left_to_spend(self, elsewhere: Sequence[Mapping[str, Any]]) -> ModelOptions:
        """The options for one target: limits hold for all targets together."""
        model = self.request.model
        calls, cost = model.maximum_calls, model.maximum_cost
        if calls is not None:
            calls = max(calls - sum(spent["calls"] for spent in elsewhere), 0)
        if cost is not None:
            cost = max(cost - sum(spent["cost"] or 0.0 for spent in elsewhere), 0.0)
        return replace(model, maximum_calls=calls, maximum_cost=cost)

    def _ground(self, standing: Standing) -> tuple[TargetFolder, Judge, dict[str, Any]]:
        """The target, its judge, and what its verdicts depend on."""
        folder, dtype = self.folders[standing.target], self.request.dtype
        workloads = folder.workloads(self.request.config, dtype)
        return folder, self.place.judge(folder, dtype, workloads), self.place.context(folder, dtype, workloads)

    def settle(self, standing: Standing, finalists: Sequence[Finalist]) -> dict[str, Any] | None:
        """Judges the best trials again until one is accepted again, keeps it, and says what the record should.

        Where the best seed as given had scored above what the winner now has, it is judged again too.
        """
        folder, judge, context = self._ground(standing)
        best: tuple[Finalist, Candidate, Verdict, float] | None = None
        self.console.print(f"\n{standing.target}: judging again from scratch", markup=False)
        try:
            for finalist in finalists:
                if best is not None and not (finalist.is_given and finalist.score > best[3]):
                    continue
                candidate, verdict = self._judge_again(judge, context, finalist)
                if verdict.accepted and verdict.low is not None and (best is None or verdict.low > best[3]):
                    best = finalist, candidate, verdict, verdict.low
        finally:
            judge.close()
        if best is None:
            return None
        finalist, candidate, verdict, _ = best
        stored = keep(
            self.place, folder, candidate, verdict, Origin(digest(context), finalist.trial, finalist.proposer)
        )
        return {
            "digest": verdict.digest,
            "speedup": verdict.speedup,
            "low": verdict.low,
            "high": verdict.high,
            "origin": candidate.origin,
            "tunables": dict(candidate.tunables),
            "is_seed": finalist.is_given,
            "stored": str(stored.folder),
        }

    def _judge_again(self, judge: Judge, context: dict[str, Any], finalist: Finalist) -> tuple[Candidate, Verdict]:
        """A finalist and its second verdict, which a campaign that was killed may have on record already."""
        ledger, where = self.place.ledger, digest(context)
        candidate = recorded_candidate(ledger.trials(finalist.candidate, where)[-1], self.place.objects)
        lines = ledger.find("confirmation", candidate=finalist.candidate)
        known = [line.body["verdict"] for line in lines if digest(line.body["context"]) == where]
        if known:
            return candidate, verdict_from_json(known[-1])
        verdict = judge.confirm(candidate)
        body = {"candidate": finalist.candidate, "context": context, "verdict": verdict.as_json()}
        ledger.append("confirmation", body)
        interval = format_interval(verdict.speedup, verdict.low, verdict.high)
        found = f"  {name_candidate(candidate)}: {verdict.status}: {verdict.detail} {interval}"
        self.console.print(found, markup=False, soft_wrap=True)
        return candidate, verdict

    def _accepted(self, folder: TargetFolder) -> list[Candidate]:
        name, language = folder.target.name, self.request.language
        kernels = self.place.store.kernels(name, "cpu", self.request.dtype)
        found = [k.candidate for k in kernels if k.candidate.language == language]
        return [replace(c, origin=f"accepted-{c.digest[:8]}") for c in found]


def _has_group(folder: TargetFolder, config: str, dtype: str) -> bool:
    return any(w.group == config for w in folder.workloads(None, dtype))


def _race(request: Request) -> dict[str, Any]:
    """The race of `kernelsearch race` with what is accepted now; it promotes what wins."""
    asked = race.Request(request.config, None, 1, 1, "accepted", (), None, request.dtype, None, request.threads)
    answer, _ = race.run(asked)
    return {key: value for key, value in answer.items() if key != "curves"}
