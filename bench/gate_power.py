"""How often the gate of `kernelsearch compare` fails: with a planted slowdown, and where nothing changed.

    python bench/gate_power.py --runs 40 --json bench/results/DEVICE/DATE-gate-power.json

Each run is what `compare` does with one changed kernel: fresh processes, at least two meetings. The kernel is the
scorecard's, whose cost is dialled: "slower" sweeps its rows 5.0% more often than the old side, "unchanged" equally
often. Promised: the planted slowdown fails in at least 95% of its runs, unchanged code in none. Run it on a quiet
machine; one run takes 3 to 8 s. Status 1 where the promise is broken.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from kernelsearch.compare.decision import TOLERANCE, Outcome
from kernelsearch.compare.meeting import Gate, compare_kernels
from kernelsearch.dispatch.fingerprint import harness_digest
from kernelsearch.scorecard.clock import PLANTED
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.timing.allocator import keep_freed_memory
from kernelsearch.timing.environment import describe_environment, load_average

SWEEPS = {"slower": (952, 1000), "unchanged": (1000, 1000)}
POWER = 0.95


def one_run(name: str, gate: Gate) -> dict[str, Any]:
    folder = TargetFolder(PLANTED)
    source = read_candidate("planted", "cpp", (PLANTED / "kernel.cpp").read_text(), "planted")
    (workload,) = folder.workloads(None, "float32")
    base, head = (source.bind(WORK=work) for work in SWEEPS[name])
    started, load = time.monotonic(), load_average()
    decision = compare_kernels(folder, workload, base, head, gate)
    return {
        "outcome": str(decision.outcome),
        "sentence": decision.sentence,
        "ratio": decision.ratio,
        "low": decision.low,
        "high": decision.high,
        "noise": decision.noise,
        "meetings": [{"ratio": m.ratio, "low": m.low, "high": m.high, "quiet": m.is_quiet} for m in decision.meetings],
        "seconds": time.monotonic() - started,
        "load": load,
    }


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """`failed` counts runs that end the gate with status 1 by default, `slower` those that were called slower."""
    outcomes = Counter(run["outcome"] for run in runs)
    slower, noisy = outcomes[str(Outcome.SLOWER)], outcomes[str(Outcome.NOISY)]
    return {
        "runs": len(runs),
        "failed": slower + noisy,
        "slower": slower,
        "noisy": noisy,
        "outcomes": dict(outcomes),
        "seconds": sum(run["seconds"] for run in runs),
        "longest_s": max(run["seconds"] for run in runs),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="of each kind")
    parser.add_argument("--tolerance", type=float, default=100 * TOLERANCE, help="percent")
    parser.add_argument("--meetings", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cache-dir", type=Path, default=Path(".kernelsearch/cache"))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    tuned = keep_freed_memory()
    torch.set_num_threads(asked.threads)
    gate = Gate(asked.tolerance / 100, asked.meetings, asked.cache_dir.resolve(), asked.threads)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in SWEEPS}
    for number in range(asked.runs):
        for name, found in runs.items():  # taking turns, so that both see the same machine
            found.append(one_run(name, gate))
            print(f"{number + 1} {name}: {found[-1]['sentence']} ({found[-1]['seconds']:.1f} s)", file=sys.stderr)
    summaries = {name: summarise(found) for name, found in runs.items()}
    holds = summaries["slower"]["slower"] >= POWER * asked.runs and summaries["unchanged"]["failed"] == 0
    answer = {
        "holds": holds,
        "planted": f"{SWEEPS['slower'][1] / SWEEPS['slower'][0] - 1:.1%}",
        "tolerance": asked.tolerance / 100,
        "harness": harness_digest(),
        **summaries,
        "environment": describe_environment(threads=asked.threads, allocator_tuned=tuned),
    }
    print(json.dumps(answer, indent=2))
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({**answer, "all": runs}, indent=1) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
