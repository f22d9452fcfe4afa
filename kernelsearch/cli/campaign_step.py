"""What a campaign is worth in a whole training step: the seeds as they were given, against what is kept now.

The best seed of each target at its default tunables is remembered, as it was judged, in a store of its own: nobody
trains with it, but it is where a search starts, and so what a search must beat.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelsearch.cli.kernels import leave_out, parts_of
from kernelsearch.cli.trainer import FACTORY, choose_kernels, ops_argument, trainer_command
from kernelsearch.cli.workplace import Workplace
from kernelsearch.dispatch.contender import Contender
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.modes import Precision, measure_modes
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.ledger.chain import utc_now
from kernelsearch.report.text import open_console
from kernelsearch.search import StudyResult, best_of
from kernelsearch.spec import Candidate, TargetFolder, Verdict

FIRST_STEPS = 3
TELL_EVERY = 10
TIMEOUT_S = 1800.0
# To see a difference of 1%. A step of d4 takes 0.9 s and varies by some 5% (AMD EPYC, 2026-11-23).
PRECISION = Precision("kernels", half_width=0.005, seconds=300.0)


def remember_seed(
    place: Workplace, folder: TargetFolder, config: str, dtype: str, result: StudyResult, seeds: Sequence[Candidate]
) -> None:
    """Keeps the best of the seeds as they were given, where one was accepted."""
    given = {seed.digest for seed in seeds}
    best = best_of([t for t in result.trials if t.candidate.digest in given and t.verdict.accepted])
    if best is None:
        return
    number = [t.candidate.digest for t in result.trials].index(best.candidate.digest) + 1
    accepted = Accepted(
        candidate=best.candidate,
        contract_digest=folder.contract_digest,
        device="cpu",
        dtype=dtype,
        study=result.context,
        trial=number,
        proposer="seed",
        verdict=best.verdict,
        fingerprint=fingerprint(),
        date=utc_now(),
    )
    Store(place.library, seeds_folder(place, config)).add(accepted)


def seeds_folder(place: Workplace, config: str) -> Path:
    return place.state_dir / "seeds" / config


def seed_kernels(place: Workplace, config: str, dtype: str) -> dict[str, Accepted]:
    """The remembered seed of each target, by name; of several the best, and only under today's contract."""
    store = Store(place.library, seeds_folder(place, config))
    found = {}
    for folder in place.folders():
        name = folder.target.name

        def is_current(kernel: Accepted, contract: str = folder.contract_digest) -> bool:
            return kernel.proposer == "seed" and kernel.contract_digest == contract

        best = store.best(name, "cpu", dtype, is_current)
        if best is not None:
            found[name] = best
    return found


def measure_step(
    place: Workplace, config: str, dtype: str, steps: int, kept: Mapping[str, Mapping[str, Any]], *, from_seeds: bool
) -> dict[str, Any]:
    """The modes "seeds", "eager" and "kernels" of a training step; speedups are over the seeds.

    `kept` are the winners that were accepted again. A target without one counts for neither side: its seed was refused
    when it was judged again, or never reached.
    """
    folders = place.folders()
    if from_seeds:
        kernels = {name: _stored(place, name, dtype, value["digest"]) for name, value in kept.items()}
        kernels = leave_out(folders, without_slow_spans(folders, kernels))
    else:
        kernels = without_slow_spans(folders, choose_kernels(place, "accepted", config, dtype))
    known = {name: seed for name, seed in seed_kernels(place, config, dtype).items() if name in kept}
    seeds = leave_out(folders, without_slow_spans(folders, known))
    init = {
        "config": config,
        "seed": 1,
        "dtype": dtype,
        "cache_dir": str(place.cache_dir / "nanochat"),
        "threads": place.threads,
    }
    start = {**ops_argument(place, seeds, dtype), "state_dir": str(seeds_folder(place, config))}
    modes: dict[str, dict[str, Any]] = {
        "seeds": {"ops": {"factory": FACTORY, "argument": start}},
        "eager": {"ops": "eager"},
        "kernels": {"ops": {"factory": FACTORY, "argument": ops_argument(place, kernels, dtype)}},
    }
    console, command = open_console(stderr=True), trainer_command("worker")

    def tell(name: str, number: int) -> None:
        if number <= FIRST_STEPS or number % TELL_EVERY == 0:
            console.print(f"{name} step {number}", markup=False)

    found = measure_modes(
        {name: Contender(command, init | what) for name, what in modes.items()},
        steps=steps,
        first_steps=FIRST_STEPS,
        timeout_s=TIMEOUT_S,
        on_progress=tell,
        precision=PRECISION,
    )
    return {
        "config": config,
        "steps": {mode.name: mode.steps for mode in found},
        "seeds": {name: kernel.digest for name, kernel in sorted(seeds.items())},
        "kernels": {name: kernel.digest for name, kernel in sorted(kernels.items())},
        "modes": [mode.as_json() for mode in found],
    }


def without_slow_spans(folders: Sequence[TargetFolder], kernels: Mapping[str, Accepted]) -> dict[str, Accepted]:
    """Without the spans that are slower than stock operators around the kernels for their parts.

    By the judge's own figures: what the baseline of the span takes, less what the part's kernel saves of it.
    """
    chosen = dict(kernels)
    for folder in folders:
        span = folder.target.name
        owners = {
            other.target.name
            for other in folders
            for entry in other.target.entries
            if span in chosen and entry.name in parts_of(folder)
        }
        saved_us = sum(_step_us(chosen[o].verdict, 1.0, -1.0) for o in owners if o in chosen)
        if span in chosen and owners & chosen.keys() and _step_us(chosen[span].verdict, 1.0, -1.0) <= saved_us:
            del chosen[span]
            text = f"{span} stays out: kernels for its parts save {saved_us / 1000:.1f} ms of a step, it saves less"
            open_console(stderr=True).print(text, markup=False, soft_wrap=True)
    return chosen


def _step_us(verdict: Verdict, baseline: float, candidate: float) -> float:
    """The given multiples of baseline's and candidate's time in all calls of a step, added up."""
    return sum(m.calls * (baseline * m.baseline_us + candidate * m.candidate_us) for m in verdict.measurements)


def _stored(place: Workplace, target: str, dtype: str, digest: str) -> Accepted:
    return next(k for k in place.store.kernels(target, "cpu", dtype) if k.digest == digest)
