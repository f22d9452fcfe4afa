"""`kernelsearch bench --config`: a whole training step, eager and with kernels, compiled or not; time and memory."""

from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table

from kernelsearch.cli.trainer import FACTORY, choose_kernels, describe_config, ops_argument, trainer_command
from kernelsearch.cli.workplace import open_workplace, require_device
from kernelsearch.dispatch.contender import Contender
from kernelsearch.dispatch.modes import Mode, measure_modes
from kernelsearch.dispatch.result import LEAST_PAIRS
from kernelsearch.errors import UsageError
from kernelsearch.report.text import format_bytes, format_interval, open_console
from kernelsearch.timing.environment import cpu_model

FIRST_STEPS = 3
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Request:
    """`keeps_memory`: all modes under one allocator setting (docs/architecture.md), or all under the system's own."""

    config: str
    steps: int
    dtype: str
    targets: tuple[str, ...]
    compiled: bool
    keeps_memory: bool
    threads: int | None
    device: str = "cpu"


def run(request: Request) -> tuple[dict[str, Any], int]:
    if request.steps < 2 * LEAST_PAIRS:
        raise UsageError(f"steps={request.steps}: an interval needs at least {2 * LEAST_PAIRS}")
    require_device(request.device)
    describe_config(request.config)
    place = open_workplace(request.threads)
    kernels = choose_kernels(place, "accepted", request.config, request.dtype, request.targets, request.device)
    if not kernels:
        raise UsageError(f"dtype={request.dtype}: no accepted kernel; find one with `kernelsearch optimize attention`")
    init = {
        "config": request.config,
        "seed": 1,
        "device": request.device,
        "dtype": request.dtype,
        "cache_dir": str(place.cache_dir / "nanochat"),
        "threads": place.threads,
        "keep_memory": request.keeps_memory,
    }
    chosen = {"factory": FACTORY, "argument": ops_argument(place, kernels, request.dtype, request.device)}
    modes: dict[str, dict[str, Any]] = {"eager": {"ops": "eager"}, "kernels": {"ops": chosen}}
    if request.compiled:
        modes |= {"compile": {"ops": "eager", "compiled": True}, "compile+kernels": {"ops": chosen, "compiled": True}}
    console = open_console(stderr=True)
    command = trainer_command("worker")
    found = measure_modes(
        {name: Contender(command, init | what) for name, what in modes.items()},
        steps=request.steps,
        first_steps=FIRST_STEPS,
        timeout_s=TIMEOUT_S,
        on_progress=lambda name, steps: console.print(f"{name} step {steps}", markup=False),
    )
    device = torch.cuda.get_device_name() if request.device == "cuda" else cpu_model()
    console.print(_table(request, found, device, place.threads))
    answer = {
        "device": device,
        "threads": place.threads,
        "config": request.config,
        "dtype": request.dtype,
        "keeps_memory": request.keeps_memory,
        "steps": request.steps,
        "kernels": {name: kernel.digest for name, kernel in sorted(kernels.items())},
        "modes": [mode.as_json() for mode in found],
        "fastest": min(found, key=lambda mode: mode.step_s).name,
    }
    return answer, 0


def _table(request: Request, modes: tuple[Mode, ...], device: str, threads: int) -> Table:
    memory = "freed memory kept" if request.keeps_memory else "the system's allocator"
    title = f"a training step of {request.config}, {request.dtype}, {device}, {threads} threads, {memory}"
    table = Table("mode", "ms", "tokens/s", "against eager", "peak memory", "first steps", "losses apart", title=title)
    for mode in modes:
        table.add_row(
            mode.name,
            f"{1e3 * mode.step_s:.1f}",
            f"{mode.tokens_per_second:,.0f}",
            format_interval(mode.speedup, mode.low, mode.high),
            format_bytes(mode.peak_bytes),
            f"{mode.first_s:.1f} s",
            "-" if mode.largest_gap is None else f"{mode.largest_gap:.2g}",
        )
    return table
