"""`kernelsearch train`: nanochat in a process of its own, with the chosen kernels, to a loss target."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelsearch.cli.trainer import FACTORY, choose_kernels, ops_argument, trainer_command
from kernelsearch.cli.workplace import open_workplace, require_device
from kernelsearch.errors import Infrastructure
from kernelsearch.report.text import open_console


@dataclass(frozen=True)
class Request:
    config: str
    kernels: str
    until_bpb: float | None
    steps: int | None
    dtype: str
    data: Path | None
    checkpoints: Path | None
    seed: int
    threads: int | None
    shadow: float | None
    is_resumed: bool
    device: str = "cpu"


def run(request: Request) -> tuple[dict[str, Any], int]:
    require_device(request.device)
    command = trainer_command("train")
    place = open_workplace(request.threads)
    kernels = choose_kernels(place, request.kernels, request.config, request.dtype, device=request.device)
    console = open_console(stderr=True)
    names = ", ".join(f"{name} {kernel.digest[:12]}" for name, kernel in sorted(kernels.items()))
    console.print(f"kernels: {names or f'none ({request.kernels}), PyTorch runs everything'}", markup=False)
    checkpoints = request.checkpoints or place.state_dir / "checkpoints" / request.config
    arguments = ["--config", request.config, "--dtype", request.dtype, "--seed", str(request.seed), "--json"]
    arguments += ["--device", request.device]
    arguments += ["--threads", str(place.threads), "--cache-dir", str(place.cache_dir / "nanochat")]
    arguments += ["--checkpoint-dir", str(checkpoints)]
    if kernels:
        argument = {**ops_argument(place, kernels, request.dtype, request.device), "shadow": request.shadow}
        arguments += ["--ops", json.dumps({"factory": FACTORY, "argument": argument})]
    for option, value in (("--until-bpb", request.until_bpb), ("--steps", request.steps), ("--data-dir", request.data)):
        arguments += [option, str(value)] if value is not None else []
    arguments += ["--resume"] if request.is_resumed else []
    answer, status = _run_trainer([*command, *arguments])
    for line in summarise_launches(answer.get("ops") or {}):
        console.print(line, markup=False)
    return answer, status


def summarise_launches(report: dict[str, Any]) -> list[str]:
    """One line a kernel: how often it ran, and what fell back to the baseline for which reason."""
    lines = []
    for entry, kernel in report.get("kernels", {}).items():
        launches = kernel["launches"]
        missed = ", ".join(f"{count} fell back ({reason})" for reason, count in kernel["fallbacks"].items())
        counts = f"{launches['forward']} forward, {launches['backward']} backward launches"
        lines.append(f"{entry} {kernel['digest'][:12]}: {counts}" + (f"; {missed}" if missed else ""))
        if "shadow" in kernel:
            lines.append(f"{entry} shadow: {describe_shadow(kernel['shadow'])}")
    return lines + [f"{entry}: baseline ({reason})" for entry, reason in report.get("reasons", {}).items()]


def describe_shadow(report: dict[str, Any]) -> str:
    """What shadow mode saw of one kernel, in one clause."""
    breach = report["breach"]
    if breach is not None:
        return f"WRONG and dropped, {breach['result']} {breach['difference']}; tensors: {breach['where']}"
    return f"{report['checks']} calls computed again in {report['seconds']:.2f} s, all right"


def _run_trainer(command: list[str]) -> tuple[dict[str, Any], int]:
    """Progress passes through on standard error; Ctrl-C reaches the trainer itself, which saves and says so."""
    trainer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    try:
        text = trainer.stdout.read()
        status = trainer.wait()
    except KeyboardInterrupt:
        text, status = trainer.stdout.read(), trainer.wait()
    if status not in (0, 1, 130):
        if status == 2:
            return {"error": "the trainer refused its arguments"}, 2
        raise Infrastructure(f"the trainer ended with status {status}; its messages are above")
    try:
        answer: dict[str, Any] = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError:
        raise Infrastructure("the trainer's answer is not JSON") from None
    return answer, status
