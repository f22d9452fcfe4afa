"""Steps of an unmodified nanochat checkout, with our kernels and without, in runs that take turns.

    python bench/upstream_steps.py --repo ~/nanochat [--rounds 3] [--steps 12] [--compile] -- --depth=4 ...

What follows `--` goes to the checkout's scripts.base_train. Modes: `off` (KERNELSEARCH=0), `kernels`, `identity` (every
patch in, over upstream's own functions), and those of BAND: off, with other roundings, to see how far equal runs part.
Each round runs off and kernels, in changing order; the others run once. Without --compile, TORCHDYNAMO_DISABLE=1.
Ratios are of the medians of a round's steps, the first FIRST of each run left out; the interval is over resampled
rounds and steps.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

FIRST = 2
BAND = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
STEP = re.compile(r"^step (\d+)/\d+ .*?loss: ([\d.]+).*?dt: ([\d.]+)ms", re.MULTILINE)
QUIET = ("--eval-every=-1", "--core-metric-every=-1", "--sample-every=-1", "--save-every=-1")


def run(repo: Path, mode: str, steps: int, arguments: list[str], *, compiled: bool) -> dict[str, Any]:
    """One training run; losses and milliseconds by step."""
    options = {"identity": ["--identity"], "kernels": ["--kernels", "accepted", "--workload", "d4"]}.get(mode, [])
    environment = dict(os.environ)
    environment |= {} if options else {"KERNELSEARCH": "0"}
    environment |= BAND.get(mode, {})
    environment |= {} if compiled else {"TORCHDYNAMO_DISABLE": "1"}
    command = [
        sys.executable,
        "-m",
        "kernelsearch",
        "run",
        "--repo",
        str(repo),
        *options,
        "--",
        "-m",
        "scripts.base_train",
    ]
    command += [f"--num-iterations={steps}", *QUIET, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = STEP.findall(done.stdout)
    if done.returncode or len(found) != steps:
        tail = done.stdout[-2000:] + done.stderr[-2000:]
        sys.exit(f"{mode}: status {done.returncode}, {len(found)} of {steps} steps\n{tail}")
    print(f"{mode}: {np.median([float(ms) for _, _, ms in found[FIRST:]]):.0f} ms", file=sys.stderr)
    return {"mode": mode, "losses": [float(loss) for _, loss, _ in found], "ms": [float(ms) for _, _, ms in found]}


def speedup(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, float]:
    """Median over rounds of the ratio of medians, with its 95% interval from resampled steps."""
    rng = np.random.default_rng(0)

    def ratio(resample: bool) -> float:
        found = []
        for pair in rounds:
            medians = {}
            for mode in ("off", "kernels"):
                steps = np.asarray(pair[mode]["ms"][FIRST:])
                medians[mode] = np.median(rng.choice(steps, len(steps)) if resample else steps)
            found.append(medians["off"] / medians["kernels"])
        return float(np.median(rng.choice(found, len(found)) if resample else found))

    low, high = np.quantile([ratio(True) for _ in range(2000)], (0.025, 0.975))
    return {"speedup": ratio(False), "low": float(low), "high": float(high)}


def gap(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("arguments", nargs="*")
    asked = parser.parse_args()
    once = {
        mode: run(asked.repo, mode, asked.steps, asked.arguments, compiled=asked.compile)
        for mode in ("identity", *BAND)
    }
    rounds = []
    for number in range(asked.rounds):
        order = ("off", "kernels") if number % 2 == 0 else ("kernels", "off")
        rounds.append({m: run(asked.repo, m, asked.steps, asked.arguments, compiled=asked.compile) for m in order})
    off = rounds[0]["off"]
    answer = {
        **speedup(rounds),
        "identity_gap": gap(off, once["identity"]),
        "kernels_gap": gap(off, rounds[0]["kernels"]),
        "band_gaps": {mode: gap(off, once[mode]) for mode in BAND},
        "compiled": asked.compile,
        "arguments": asked.arguments,
        "runs": [*once.values(), *(run for pair in rounds for run in pair.values())],
    }
    print(json.dumps({name: value for name, value in answer.items() if name != "runs"}, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()
