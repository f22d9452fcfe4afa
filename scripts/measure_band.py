"""Measure how far two equal training runs drift apart, and write nanochat/bands.json.

Sums of floating-point numbers depend on their order, so a run whose batches have their rows permuted, whose operators
use another instruction set, or both, computes the same thing with other rounding. The largest gaps between such runs
and their baselines are what a race may blame on rounding:

    python scripts/measure_band.py --config tiny --cache-dir /tmp/nanochat-cache

Where n pairs are equal, a further equal one exceeds the largest of their gaps with a chance of 1 in n + 1: the default
of 7 seeds, 21 pairs, makes that less than 5%. Every run is a process of its own. The traps: training amplifies
rounding, so the gap grows with the number of steps, and a band holds only for the config that it was measured with; it
is taken over the steps of a race, that is until the baseline reaches the target, where the config has one.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from nanochat.allocator import tune_allocator
from nanochat.config import named_config
from nanochat.dataloader import Batch
from nanochat.files import write_atomically
from nanochat.ops import Ops
from nanochat.trainer import Loader, Trainer

BANDS = Path(__file__).parents[1] / "nanochat" / "bands.json"
CPU_INFO = Path("/proc/cpuinfo")
VARIANTS = ("rows", "instructions", "rows+instructions")
# Read by PyTorch and by MKL when a process starts; the next smaller set than this CPU's.
SMALLER = {"AVX512": ("avx2", "AVX2"), "AVX2": ("default", "SSE4_2")}


@dataclass(frozen=True)
class PermutedRows:
    """A loader whose batches have their rows in another order, a new one each time."""

    loader: Loader
    generator: torch.Generator

    def next_batch(self) -> Batch:
        inputs, targets = self.loader.next_batch()
        order = torch.randperm(len(inputs), generator=self.generator)
        return Batch(inputs[order], targets[order])

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)


def train(config_name: str, seed: int, variant: str, threads: int, cache_dir: Path) -> dict[str, Any]:
    """One run to the end of its schedule; variant is "baseline" or one of VARIANTS."""
    tune_allocator()
    torch.set_num_threads(threads)
    trainer = Trainer(named_config(config_name), Ops.eager(), torch.device("cpu"), torch.float32, seed, cache_dir)
    if "rows" in variant:
        trainer.loader = PermutedRows(trainer.loader, torch.Generator().manual_seed(seed))
    losses, bpbs = [], {}
    while not trainer.is_finished:
        losses.append(trainer.step().loss)
        if trainer.steps_done % trainer.config.eval_every == 0:
            bpbs[trainer.steps_done] = trainer.evaluate()
            print(f"{variant} seed={seed} {trainer.steps_done} {bpbs[trainer.steps_done]:.4f}", file=sys.stderr)
    return {
        "seed": seed,
        "variant": variant,
        "losses": losses,
        "bpbs": bpbs,
        "seconds": trainer.training_seconds,
        "corpus": trainer.corpus.digest,
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def train_apart(arguments: argparse.Namespace, seed: int, variant: str) -> dict[str, Any]:
    """`train` in a fresh process."""
    command = [sys.executable, __file__, "--config", arguments.config, "--cache-dir", str(arguments.cache_dir)]
    command += ["--threads", str(arguments.threads), "--run", f"{seed}:{variant}"]
    environment = {**os.environ, **(smaller_instructions() if "instructions" in variant else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def smaller_instructions() -> dict[str, str]:
    """The environment of a process whose operators use the next smaller instruction set."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in SMALLER:
        raise SystemExit(f"this CPU's instruction set is {capability}: a band needs one of {', '.join(SMALLER)}")
    ours, mkl = SMALLER[capability]
    return {"ATEN_CPU_CAPABILITY": ours, "MKL_ENABLE_INSTRUCTIONS": mkl}


def compare(baseline: dict[str, Any], other: dict[str, Any], target_bpb: float | None) -> dict[str, Any]:
    """Gaps of the losses and evaluations, up to the baseline's first evaluation at or below the target."""
    raced = [int(step) for step, bpb in baseline["bpbs"].items() if target_bpb is not None and bpb <= target_bpb]
    end = min(raced, default=len(baseline["losses"]))
    gaps = [abs(a - b) for a, b in zip(baseline["losses"][:end], other["losses"][:end], strict=True)]
    bpb_gaps = [abs(bpb - other["bpbs"][step]) for step, bpb in baseline["bpbs"].items() if int(step) <= end]
    return {
        "seed": other["seed"],
        "variant": other["variant"],
        "steps": end,
        "instructions": other["instructions"],
        "max_loss_gap": max(gaps),
        "bpb_gap": max(bpb_gaps),
        "final_bpb_gap": bpb_gaps[-1],
        "loss_gaps": gaps,
    }


def cpu_model() -> str:
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def measure_band(arguments: argparse.Namespace) -> dict[str, Any]:
    """The envelope over all pairs, and the baselines' curves, from which a target is chosen."""
    wanted = [(seed, variant) for seed in range(1, arguments.seeds + 1) for variant in ("baseline", *VARIANTS)]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = list(pool.map(lambda run: train_apart(arguments, *run), wanted))
    baselines = {run["seed"]: run for run in runs if run["variant"] == "baseline"}
    target = named_config(arguments.config).target_bpb
    pairs = [compare(baselines[run["seed"]], run, target) for run in runs if run["variant"] != "baseline"]
    return {
        "runs": len(runs),
        "max_loss_gap": max(pair["max_loss_gap"] for pair in pairs),
        "bpb_gap": max(pair["bpb_gap"] for pair in pairs),
        "final_bpb_gap": max(pair["final_bpb_gap"] for pair in pairs),
        "loss_gap_by_step": [round(max(gaps), 6) for gaps in zip(*(p["loss_gaps"] for p in pairs), strict=False)],
        "pairs": [{name: value for name, value in pair.items() if name != "loss_gaps"} for pair in pairs],
        "baseline_bpb": {
            seed: {step: round(bpb, 5) for step, bpb in run["bpbs"].items()} for seed, run in baselines.items()
        },
        "baseline_seconds": {seed: round(run["seconds"], 1) for seed, run in baselines.items()},
        "corpus": baselines[1]["corpus"],
        "torch": torch.__version__,
        "cpu": cpu_model(),
        "threads": arguments.threads,
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python scripts/measure_band.py --config {arguments.config} --seeds {arguments.seeds}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="tiny")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        seed, variant = arguments.run.split(":")
        print(json.dumps(train(arguments.config, int(seed), variant, arguments.threads, arguments.cache_dir)))
        return
    bands = json.loads(BANDS.read_text()) if BANDS.is_file() else {}
    bands[arguments.config] = measure_band(arguments)
    write_atomically(BANDS, (json.dumps(bands, indent=1) + "\n").encode())
    print({name: bands[arguments.config][name] for name in ("max_loss_gap", "bpb_gap", "final_bpb_gap")})


if __name__ == "__main__":
    main()
