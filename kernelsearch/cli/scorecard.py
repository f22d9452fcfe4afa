"""`kernelsearch scorecard`: the judge's own error rates, measured here."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from kernelsearch.cli.workplace import Workplace, chosen_workloads, open_workplace
from kernelsearch.dispatch.fingerprint import harness_digest
from kernelsearch.errors import UsageError
from kernelsearch.report.scorecard import render_scorecard
from kernelsearch.report.text import open_console
from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.scorecard.card import PARTS, Scorecard, WholeVerdicts
from kernelsearch.scorecard.clock import Decisions, Dial, Setting, measure_decisions
from kernelsearch.scorecard.exploits import ExploitScore, find_target_of, measure_exploits
from kernelsearch.scorecard.measure import measure_corpora
from kernelsearch.scorecard.result import CorporaResult
from kernelsearch.scorecard.zoo import Exploit, read_zoo
from kernelsearch.spec import TargetFolder, library_path, read_candidate
from kernelsearch.timing.clock import Effort

DTYPE = "float32"
QUICK = Care(examples=10, search_s=1.0, effort=Effort(seconds=0.3, minimum_rounds=12, maximum_rounds=24))
DIALS = (Dial(0), Dial(0, is_busy=True), Dial(1), Dial(3), Dial(5))
TELL_EVERY = 20


@dataclass(frozen=True)
class Request:
    """`targets` empty means those that the table of mistakes studies; `quota` is mutants of each target and dtype.

    `decisions` of the clock are made on identical kernels, quiet and busy; `gains` of them for each planted gain.
    """

    targets: tuple[str, ...]
    parts: tuple[str, ...]
    quota: int
    decisions: int
    gains: int
    workers: int
    out: Path | None
    threads: int | None


def run(request: Request) -> tuple[dict[str, Any], int]:
    unknown = [part for part in request.parts if part not in PARTS]
    if unknown:
        raise UsageError(f"part={unknown[0]!r}: choose from {', '.join(PARTS)}")
    corpora_dir = library_path().parent / "tests"
    if not (corpora_dir / "zoo").is_dir():
        raise UsageError("the scorecard's corpora (tests/zoo, tests/honest) are in this project's source tree only")
    place = open_workplace(request.threads)
    studied = {folder.name for folder in (corpora_dir / "honest").iterdir()}  # more right kernels than the seeds
    folders = [place.target(name) for name in request.targets]
    folders = folders or [folder for folder in place.folders() if folder.target.name in studied]
    parts = request.parts or PARTS
    console = open_console(stderr=True)
    card = Scorecard(
        environment={**place.environment(), "harness": harness_digest(), "date": time.strftime("%Y-%m-%d")},
        exploits=_exploits(place, corpora_dir, console) if "exploits" in parts else None,
        corpora=_corpora(place, folders, corpora_dir, request, console) if "corpora" in parts else None,
        clock=_clock(place, request, console) if "clock" in parts else (),
        verdicts=_verdicts(place, folders, console) if "verdicts" in parts else None,
    )
    console.print(render_scorecard(card.as_json()))
    if request.out is not None:
        _write(request.out, card.as_json())
    return card.as_json(), 0 if _is_clean(card) else 1


def _exploits(place: Workplace, corpora_dir: Path, console: Console) -> ExploitScore:
    zoo = read_zoo(corpora_dir / "zoo")
    places = (corpora_dir / "zoo" / "targets", corpora_dir / "sandbox", place.library)

    def judge_of(exploit: Exploit) -> Judge:
        folder = find_target_of(exploit, places)
        workloads = chosen_workloads(folder, None, exploit.dtype)
        return Judge(folder, exploit.dtype, workloads, place.cache_dir, place.threads, QUICK)

    return measure_exploits(
        zoo,
        judge_of,
        lambda one, done: (
            console.print(f"exploits {done}/{len(zoo)}: {one.name}: {'stopped' if one.is_stopped else 'NOT STOPPED'}")
            if done % TELL_EVERY == 0 or not one.is_as_named
            else None
        ),
    )


def _corpora(
    place: Workplace, folders: list[TargetFolder], corpora_dir: Path, request: Request, console: Console
) -> CorporaResult:
    return measure_corpora(
        folders,
        corpora_dir / "honest",
        place.state_dir / "scorecard",
        place.cache_dir,
        quota=request.quota,
        workers=request.workers,
        progress=lambda row, done, total: (
            console.print(f"corpora {done}/{total}: {row.kind} of {row.target} {row.base}: {row.outcome}")
            if done % TELL_EVERY == 0 or (row.kind, row.outcome) in (("mutant", "accepted"), ("honest", "refused"))
            else None
        ),
    )


def _clock(place: Workplace, request: Request, console: Console) -> tuple[Decisions, ...]:
    journal = place.state_dir / "scorecard" / "clock.jsonl"
    setting = Setting(place.cache_dir, journal, place.threads, harness_digest(), Effort())

    def tell(dial: Dial) -> Callable[[int, int], None]:
        name = f"gain {dial.gain}%{', busy neighbour' if dial.is_busy else ''}"
        return lambda done, won: (
            console.print(f"clock, {name}: {won} of {done} called faster") if done % TELL_EVERY == 0 else None
        )

    counts = [(dial, request.gains if dial.gain else request.decisions) for dial in DIALS]
    return tuple(measure_decisions(dial, count, setting, tell(dial)) for dial, count in counts)


def _verdicts(place: Workplace, folders: list[TargetFolder], console: Console) -> WholeVerdicts:
    """Every seed judged in full, as `check` does; seconds of those that pass."""
    seconds: dict[str, float] = {}
    for folder in folders:
        judge = place.judge(folder, DTYPE, chosen_workloads(folder, None, DTYPE))
        for name, source in folder.seeds("cpp").items():
            verdict = judge.judge(read_candidate(folder.target.name, "cpp", source, name))
            console.print(f"verdict of {folder.target.name} {name}: {verdict.status}, {verdict.seconds:.1f} s")
            if verdict.passed:
                seconds[f"{folder.target.name} {name}"] = verdict.seconds
        judge.close()
    return WholeVerdicts(seconds, median(seconds.values()))


def _is_clean(card: Scorecard) -> bool:
    """Whether nothing got through that must not."""
    through = len(card.exploits.not_stopped) if card.exploits else 0
    through += card.corpora.overall.mutants.accepted if card.corpora else 0
    return through + sum(d.called_faster for d in card.clock if d.gain == 0) == 0


def _write(path: Path, result: dict[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(scratch, path)
    except OSError as error:
        raise UsageError(f"out={str(path)!r}: cannot be written ({error.strerror})") from None
