"""`kernelsearch race`: does training reach its loss target sooner with the kernels, and is it the same training?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelsearch.cli.trainer import (
    FACTORY,
    choose_kernels,
    describe_config,
    ops_argument,
    read_band,
    trainer_command,
)
from kernelsearch.cli.workplace import Workplace, open_workplace, require_device
from kernelsearch.dispatch.contender import Contender
from kernelsearch.dispatch.race import Plan, Progress, run_race
from kernelsearch.dispatch.result import RaceResult
from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import UsageError
from kernelsearch.report.race import render_race
from kernelsearch.report.text import open_console

CHUNK_STEPS = 5


@dataclass(frozen=True)
class Request:
    config: str
    until_bpb: float | None
    seeds: int
    first_seed: int
    kernels: str
    targets: tuple[str, ...]
    steps: int | None
    dtype: str
    data: Path | None
    threads: int | None
    device: str = "cpu"
    compiled: bool = False


def run(request: Request) -> tuple[dict[str, Any], int]:
    require_device(request.device)
    described = describe_config(request.config)
    place = open_workplace(request.threads)
    kernels = choose_kernels(place, request.kernels, request.config, request.dtype, request.targets, request.device)
    if not kernels:
        raise UsageError(
            f"kernels={request.kernels!r}: no such kernel for {request.dtype} on this machine's {request.device}; "
            f"find one first with `{_first_step(request.device)}`"
        )
    until = request.until_bpb if request.until_bpb is not None else described["target_bpb"]
    if until is None and request.steps is None:
        raise UsageError(f"config={request.config!r} has no calibrated target: give --until-bpb or --steps")
    console = open_console(stderr=True)
    console.print(f"racing {request.config} to {until} bpb with " + _names(kernels), markup=False)
    results = [
        _race(request, place, kernels, described, until, seed)
        for seed in range(request.first_seed, request.first_seed + request.seeds)
    ]
    for result in results:
        console.print(render_race(result.as_json()))
        place.ledger.append("race", {"kernels": sorted(k.digest for k in kernels.values()), **_record(result)})
    won = all(_is_won(result) for result in results)
    if won:
        for kernel in kernels.values():
            place.store.set_promoted(kernel, is_promoted=True)
        console.print("promoted: " + _names(kernels), markup=False)
    answer = results[0].as_json()
    if request.seeds > 1:
        answer["races"] = [result.as_json() for result in results]
    answer["is_promoted"] = won
    if any(result.reason == "interrupted" for result in results):
        return answer, 130
    return answer, 0 if won else 1


def _race(
    request: Request,
    place: Workplace,
    kernels: dict[str, Accepted],
    described: dict[str, Any],
    until: float | None,
    seed: int,
) -> RaceResult:
    init = {
        "config": request.config,
        "seed": seed,
        "device": request.device,
        "compiled": request.compiled,
        "dtype": request.dtype,
        "cache_dir": str(place.cache_dir / "nanochat"),
        "data_dir": str(request.data) if request.data else None,
        "threads": place.threads,
    }
    chosen = {"factory": FACTORY, "argument": ops_argument(place, kernels, request.dtype, request.device)}
    command = trainer_command("worker")
    console = open_console(stderr=True)
    plan = Plan(
        config=request.config,
        until_bpb=until,
        chunk_steps=CHUNK_STEPS,
        evaluate_every=described["eval_every"],
        max_steps=request.steps or described["iterations"],
        band=read_band(request.config),
        seed=seed,
    )

    def show(progress: Progress) -> None:
        if progress.steps % described["eval_every"] == 0:
            bpb = f"{progress.bpb:.4f}" if progress.bpb is not None else "-"
            where = f"{progress.side:>8} step {progress.steps:4d}  {progress.seconds:6.1f} s"
            console.print(f"{where}  loss {progress.loss:.4f}  bpb {bpb}", markup=False)

    baseline = Contender(command, {**init, "ops": "eager"})
    return run_race(baseline, Contender(command, {**init, "ops": chosen}), plan, show)


def _first_step(device: str) -> str:
    return "kernelsearch optimize attention" + (" --language triton --dtype bf16" if device == "cuda" else "")


def _is_won(result: RaceResult) -> bool:
    same = result.equality in ("bitwise", "within-noise")
    return not result.void and same and result.low is not None and result.low > 1.0


def _record(result: RaceResult) -> dict[str, Any]:
    return {key: value for key, value in result.as_json().items() if key != "curves"}


def _names(kernels: dict[str, Accepted]) -> str:
    return ", ".join(f"{name} {kernel.digest[:12]}" for name, kernel in sorted(kernels.items()))
