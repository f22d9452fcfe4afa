"""`kernelsearch check`: one candidate through every gate and the clock."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.cli.workplace import Workplace, chosen_workloads, open_workplace, read_source
from kernelsearch.digest import digest
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import UsageError
from kernelsearch.ledger.chain import utc_now
from kernelsearch.report.text import foreign, open_console
from kernelsearch.report.verdict import render_verdict
from kernelsearch.sandbox.gpu.judge import GpuJudge
from kernelsearch.sandbox.judge import Judge
from kernelsearch.sandbox.languages import device_of
from kernelsearch.search import recorded_verdict, trial_body
from kernelsearch.spec import Candidate, Status, TargetFolder, Verdict, read_candidate, tunable_space
from kernelsearch.spec.library import SUFFIXES, guess_language

PROPOSER = "check"


@dataclass(frozen=True)
class Request:
    """`is_quick`: the cheap gates alone. `keeps`: what is accepted twice goes to the store."""

    file: Path
    target: str
    workload: str | None
    dtype: str
    settings: tuple[str, ...]
    threads: int | None
    language: str | None = None
    is_quick: bool = False
    keeps: bool = False


def run(request: Request) -> tuple[dict[str, Any], int]:
    if request.is_quick and request.keeps:
        raise UsageError("--quick and --keep: what passed the cheap gates only is never kept")
    source = read_source(request.file)
    language = request.language or guess_language(request.file.suffix, source)
    if language is None:
        known = ", ".join(sorted(set(SUFFIXES.values())))
        raise UsageError(
            f"file={str(request.file)!r}: the ending tells the language; known are {known}; or give --language"
        )
    place = open_workplace(request.threads)
    folder = place.target(request.target)
    workloads = chosen_workloads(folder, request.workload, request.dtype)
    candidate = read_candidate(folder.target.name, language, source, request.file.name)
    candidate = bind_tunables(candidate, request.settings)
    console = open_console(stderr=True)
    if request.is_quick:
        verdict = place.judge(folder, request.dtype, workloads).screen(candidate)
        console.print(render_verdict(verdict))
        return verdict.as_json(), _status(verdict)
    judge = place.judge_for(language, folder, request.dtype, workloads, ARCHITECTURES)
    if isinstance(judge, Judge):
        judge = replace(judge, on_gate=lambda gate: console.print(foreign(f"gate {gate}"), soft_wrap=True))
    context = place.context(folder, request.dtype, workloads, language)
    recorded = recorded_verdict(place.ledger, candidate.digest, digest(context)) if request.keeps else None
    if recorded is not None and recorded.accepted:
        verdict = recorded
    else:
        verdict = judge.judge(candidate)
        text = place.objects.put(candidate.source)
        place.ledger.append("trial", trial_body(candidate, verdict, text, digest(context), PROPOSER, None))
    console.print(render_verdict(verdict))
    if not request.keeps:
        return verdict.as_json(), _status(verdict)
    again, stored = _keep(place, folder, judge, candidate, verdict, context, console)
    return {**again.as_json(), "stored": None if stored is None else str(stored)}, 0 if stored else _status(again) or 1


def _keep(
    place: Workplace,
    folder: TargetFolder,
    judge: Judge | GpuJudge,
    candidate: Candidate,
    verdict: Verdict,
    context: dict[str, Any],
    console: Console,
) -> tuple[Verdict, Path | None]:
    """Judges what was accepted again from scratch, as a study does with its best; keeps it if it is accepted again."""
    if not verdict.accepted:
        return verdict, None
    console.print("judging again from scratch", markup=False)
    again = judge.confirm(candidate)
    place.ledger.append("confirmation", {"candidate": candidate.digest, "context": context, "verdict": again.as_json()})
    console.print(render_verdict(again))
    if not again.accepted:
        return again, None
    device = device_of(candidate.language)
    kept = place.store.add(
        Accepted(
            candidate=candidate,
            contract_digest=folder.contract_digest,
            device=device,
            dtype=judge.dtype,
            study=digest(context),
            trial=1,
            proposer=PROPOSER,
            verdict=again,
            fingerprint=fingerprint(device),
            date=utc_now(),
        )
    )
    console.print(f"kept in {kept.folder}", markup=False, soft_wrap=True)
    return again, kept.folder


def _status(verdict: Verdict) -> int:
    if verdict.status is Status.INFRASTRUCTURE:
        return 3
    return 0 if verdict.passed else 1


def bind_tunables(candidate: Candidate, settings: tuple[str, ...]) -> Candidate:
    """The candidate with NAME=VALUE settings applied; each must be declared in its source."""
    space = tunable_space(candidate.source)
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in space or text not in {str(value) for value in space[name]}:
            declared = "; ".join(f"{n} in {' '.join(map(str, values))}" for n, values in space.items()) or "none"
            raise UsageError(f"set={setting!r}: declared tunables are {declared}")
        candidate = candidate.bind(**{name: next(value for value in space[name] if str(value) == text)})
    return candidate
