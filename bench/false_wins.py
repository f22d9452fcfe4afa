"""How often identical programs are called faster, decided as a verdict decides: `python bench/false_wins.py`.

Both contenders run the same stock operator in this process. With
--gain PERCENT the candidate does that much less work than the baseline (a planted true gain),
and the share of decisions that see it is the clock's power. Writes nothing; prints one JSON document.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch

from kernelsearch.timing.allocator import keep_freed_memory
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.environment import cpu_model
from kernelsearch.timing.statistics import Samples, is_faster, noise, weighted_speedup

EFFORT = Effort(seconds=0.7)
ROWS, COLUMNS, CALLS = 512, 1024, 30


class Norm:
    """`calls` RMS norms of 512 x 1024 a window: memory and arithmetic of the usual mix."""

    def __init__(self, calls: float) -> None:
        self.calls = calls
        self.x = torch.randn(ROWS, COLUMNS)

    def window(self) -> float:
        rows = round(ROWS * (self.calls - int(self.calls)))
        started = time.perf_counter()
        for _ in range(int(self.calls)):
            torch.nn.functional.rms_norm(self.x, (COLUMNS,))
        torch.nn.functional.rms_norm(self.x[:rows], (COLUMNS,))
        return (time.perf_counter() - started) / CALLS


def decide(candidate: Norm, baseline: Norm, rng: np.random.Generator) -> tuple[bool, Samples]:
    samples = measure(candidate, baseline, lambda: None, lambda: None, EFFORT, rng)
    interval = weighted_speedup([samples], [1.0], [1.0], rng)
    return is_faster(interval, [samples], noise(samples, rng)), samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--gain", type=float, default=0.0, help="planted true gain of the candidate, percent")
    parser.add_argument("--busy", action="store_true", help="with a neighbour that keeps one core busy")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if arguments.busy else None
    rng = np.random.default_rng()
    candidate, baseline = Norm(CALLS / (1 + arguments.gain / 100)), Norm(CALLS)
    ratios, wins = [], 0
    started = time.monotonic()
    try:
        for index in range(arguments.decisions):
            is_win, samples = decide(candidate, baseline, rng)
            wins += is_win
            ratios.append(float(np.exp(np.median(samples.log_ratios()))))
            if index % 20 == 19:
                print(f"{index + 1} decisions, {wins} called faster", file=sys.stderr)
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    answer = {
        "device": cpu_model(),
        "decisions": arguments.decisions,
        "gain_percent": arguments.gain,
        "busy": arguments.busy,
        "called_faster": wins,
        "ratio_5_50_95": [float(q) for q in np.quantile(ratios, (0.05, 0.5, 0.95))],
        "seconds": time.monotonic() - started,
    }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
