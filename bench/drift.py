"""How far training with kernels parts from eager training, and which of the two is nearer to float64.

    python bench/drift.py [--config d4] [--steps 12] [--json FILE]

Runs the same training, same seed and data, in float64, in eager float32, in eager float32 with other roundings (BAND),
with all accepted kernels, and with each kernel alone. Prints, after the last step, the distance of the parameters from
those of the float64 run and of the eager run, each over the distance that the float64 run moved, and the largest gap
of the losses to the eager run's. Two runs whose distances from float64 are alike are equally right, however far apart.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from nanochat.config import named_config
from nanochat.factory import resolve_ops
from nanochat.ops import Ops
from nanochat.trainer import Trainer

CPU = torch.device("cpu")
BAND = {
    "eager, one thread": {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    "eager, AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}


def adamw_double(p, g, exp_avg, exp_avg_sq, *, step, lr, beta1, beta2, eps, weight_decay):
    """The step of nanochat.ops.adamw_step without its narrowing, in the textbook's order."""
    p.mul_(1 - lr * weight_decay)
    exp_avg.lerp_(g, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    p.sub_(lr * (exp_avg / (1 - beta1**step)) / ((exp_avg_sq / (1 - beta2**step)).sqrt() + eps))


def chosen_ops(choice: str, state: Path) -> Ops:
    """Eager ones, or those of the accepted kernels named by the digests in `choice`."""
    if choice in ("eager", "float64"):
        return dataclasses.replace(Ops.eager(), adamw_step=adamw_double) if choice == "float64" else Ops.eager()
    argument = {"state_dir": str(state), "dtype": "float32", "which": "accepted", "digests": choice.split(",")}
    return resolve_ops({"factory": "kernelsearch.dispatch.factory:promoted", "argument": argument})[0]


def train(choice: str, config: str, steps: int, state: Path, out: Path) -> None:
    """One run in this process; losses and parameters, before and after, to a file."""
    trainer = Trainer(named_config(config), chosen_ops(choice, state), CPU, torch.float32, 1, state / "corpus")
    if choice == "float64":
        torch.Tensor.float = torch.Tensor.double  # what the ops compute in float32, in float64
        trainer.model.double()
        trainer.model.compute_dtype = torch.float64
    first = {name: p.detach().double().clone() for name, p in trainer.model.named_parameters()}
    losses = [trainer.step().loss for _ in range(steps)]
    last = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
    torch.save({"losses": losses, "first": first, "last": last}, out)


def accepted(state: Path, config: str) -> dict[str, str]:
    """Digest of the kernel that training of this configuration uses, by target."""
    from kernelsearch.cli.trainer import choose_kernels
    from kernelsearch.cli.workplace import open_workplace

    os.environ["KERNELSEARCH_HOME"] = str(state)
    return {n: k.digest for n, k in choose_kernels(open_workplace(None), "accepted", config, "float32").items()}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum((one[name] - other[name]).square().sum() for name in one).sqrt().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="d4")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--state", type=Path, default=Path(".kernelsearch"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    state = asked.state.resolve()
    if asked.run:
        return train(asked.run[0], asked.config, asked.steps, state, Path(asked.run[1]))
    kernels = accepted(state, asked.config)
    runs = {"float64": "float64", "eager": "eager", **dict.fromkeys(BAND, "eager")}
    runs |= {"all kernels": ",".join(kernels.values()), **{f"{name} alone": digest for name, digest in kernels.items()}}
    found: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, choice in runs.items():
            out = Path(folder) / "run.pt"
            command = [sys.executable, __file__, "--config", asked.config, "--steps", str(asked.steps)]
            command += ["--state", str(state), "--run", choice, str(out)]
            subprocess.run(command, check=True, env={**os.environ, **BAND.get(name, {})})
            run = torch.load(out)
            found.update({name: run} if name in ("float64", "eager") else {})
            exact, eager = found["float64"], found.get("eager", run)
            moved = distance(exact["first"], exact["last"])
            rows[name] = {
                "from_float64": distance(run["last"], exact["last"]) / moved,
                "from_eager": distance(run["last"], eager["last"]) / moved,
                "loss_gap_to_float64": max(abs(a - b) for a, b in zip(run["losses"], exact["losses"], strict=True)),
                "loss_gap_to_eager": max(abs(a - b) for a, b in zip(run["losses"], eager["losses"], strict=True)),
            }
            print(f"{name:32}" + "".join(f" {key}={value:.2e}" for key, value in rows[name].items()), flush=True)
    if asked.json:
        answer = {"config": asked.config, "steps": asked.steps, "kernels": kernels, "runs": rows}
        asked.json.write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
