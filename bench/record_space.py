"""Measure the parts of a search space once, so that strategies can be compared on it without a machine.

    python bench/record_space.py NAME compile            every seed's every binding into the compiler's cache
    python bench/record_space.py NAME measure --for 60   times bindings, for so many seconds; run it alone

The judge's clock (`sandbox/contest.py`) times the forward calls of a window, then its backward calls, and adds the two.
So a graft costs what its functions cost in the sources they come from, and a space of hundreds of points is made of the
times of a few dozen bindings (bench/search_strategies.py adds them up). Every binding is timed SWEEPS times, each time
in another random order, and a function is worth its fastest window of all: other programs only ever add time, and what
drifts with the hour is spread over all bindings. Inputs are fresh in each window; nothing is proven here. Files are
written binding by binding, go on where they were, and are whole when they say `"missing": 0`.
"""

import argparse
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernelsearch.build import cpp
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.sandbox.baseline import BaselineProcess
from kernelsearch.sandbox.contest import Contest
from kernelsearch.search.graft import function_names
from kernelsearch.search.space import Space
from kernelsearch.spec import Candidate, TargetFolder, read_candidate, saved_tensors, tunable_space

FOLDER = Path(__file__).parent / "spaces"
DTYPE = "float32"
ROUNDS = 10
SWEEPS = 3


@dataclass(frozen=True)
class Plan:
    """What to measure: seeds with the values of their tunables; one workload for each entry, `calls` in a window."""

    target: str
    calls: int
    workloads: tuple[str, ...]
    seeds: dict[str, dict[str, tuple[int, ...]]]


SWEEP = {"UNROLL": (2, 4, 1), "DEGREE": (6, 5)}
TILES = {"BLOCK_QUERIES": (32, 16, 64), "TILE_ROWS": (8, 12)}
SPACES = {
    "attention": Plan(
        "attention",
        2,
        ("tiny/attention-window128",),
        {
            "online_tiles": {**TILES, "BLOCK_KEYS": (64, 32, 128)},
            "query_blocks": {**TILES, "BLOCK_KEYS": (128, 64, 32), "BAND": ("whole",)},
        },
    ),
    "embedding_backward": Plan(
        "embedding_backward",
        4,
        ("tiny/embedding", "tiny/token_order"),
        {
            "chains": {"RADIX_BITS": (8, 6, 11), "ROWS_PER_TASK": (256, 64, 1024), "AHEAD": (1, 0)},
            "segments": {"ROWS_PER_TASK": (128, 32, 512, 2048), "UNROLL": (4, 2, 8, 1), "STREAM_MIB": (16, 1, 4096)},
        },
    ),
    "softcap_cross_entropy": Plan(
        "softcap_cross_entropy",
        2,
        ("tiny/softcap_cross_entropy",),
        {
            "one_sweep": {**SWEEP, "ROWS_PER_TASK": (16, 64), "STREAM": (0, 1)},
            "powers_of_two": {**SWEEP, "ROWS_PER_TASK": (16, 64), "STREAM": (0, 1)},
            "recompute": {"UNROLL": (4, 2, 1, 8), "ROWS_PER_TASK": (16, 4, 64)},
            "stash": {"KEEP_WEIGHTS": (1, 0), "UNROLL": (2, 4, 1)},
        },
    ),
}


def bindings(plan: Plan, folder: TargetFolder) -> dict[str, Candidate]:
    """Every seed with every binding of the plan, by name."""
    found = {}
    for stem, values in plan.seeds.items():
        text = folder.seeds("cpp")[stem]
        for name, listed in values.items():
            line = f"// tune: {name} in {' '.join(map(str, listed))}"
            text = re.sub(rf"^// tune: {name} in .*$", line, text, flags=re.MULTILINE)
        assert tunable_space(text) == values, f"seeds/{stem}.cpp declares {tunable_space(text)}"
        space = Space([read_candidate(plan.target, "cpp", text, stem)])
        candidates = [space.candidate(space.at(index)) for index in range(len(space))]
        found |= {binding_name(stem, candidate.tunables): candidate for candidate in candidates}
    return found


def binding_name(stem: str, tunables: Any) -> str:
    return " ".join([stem, *(f"{name}={value}" for name, value in sorted(tunables.items()))])


def time_functions(
    candidate: Candidate, plan: Plan, folder: TargetFolder, opponent: BaselineProcess, place: Workplace
) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds of each function, and of the baseline for each entry."""
    rng = np.random.default_rng()
    functions: dict[str, float] = {}
    baseline: dict[str, float] = {}
    workloads = [w for w in folder.workloads("tiny", DTYPE) if w.name in plan.workloads]
    assert {w.entry for w in workloads} == {entry.name for entry in folder.target.entries}, f"{plan.workloads}"
    for workload in workloads:
        contest = Contest(
            folder, candidate, workload, opponent, cache_dir=place.cache_dir, threads=place.threads, rng=rng
        )
        try:
            contest.calls = min(plan.calls, contest.stage.most_calls)
            phases = listen(contest)
            for _ in range(ROUNDS):
                contest.next_round()
                contest.candidate.window()
            baseline[workload.entry] = round(1e6 * contest.baseline.window(), 2)
        finally:
            contest.close()
        for which, seconds in phases.items():
            functions[f"{workload.entry}_{which}"] = round(1e6 * min(seconds) / contest.calls, 2)
    return functions, baseline


def listen(contest: Contest) -> dict[str, list[float]]:
    """The seconds of each phase of every window from now on, as the clock adds them up."""
    heard: dict[str, list[float]] = {}
    phase = contest.candidate._phase

    def heard_phase(*, backward: bool) -> float:
        seconds = phase(backward=backward)
        heard.setdefault("backward" if backward else "forward", []).append(seconds)
        return seconds

    contest.candidate._phase = heard_phase  # type: ignore[method-assign]
    return heard


def measure(name: str, plan: Plan, folder: TargetFolder, place: Workplace, seconds: float) -> None:
    """Times the bindings with the fewest visits, in random order, until each has SWEEPS or the time is over."""
    FOLDER.mkdir(exist_ok=True)
    path, every = FOLDER / f"{name}.json", bindings(plan, folder)
    known = json.loads(path.read_text()) if path.exists() else {}
    visits, baseline = Counter(known.get("visits", {})), known.get("baseline_us", {})
    functions: dict[str, dict[str, float]] = known.get("functions_us", {})
    about, started, rng = describe(plan, folder, place), time.monotonic(), np.random.default_rng()
    opponent = BaselineProcess(place.threads)
    try:
        for sweep in range(SWEEPS):
            for key in rng.permutation([key for key in every if visits[key] <= sweep]).tolist():
                if time.monotonic() - started > seconds:
                    break
                timed, baseline[key] = time_functions(every[key], plan, folder, opponent, place)
                before = functions.get(key, timed)
                functions[key] = {name: min(us, before[name]) for name, us in timed.items()}
                visits[key] += 1
                missing = sum(visits[key] < SWEEPS for key in every)
                document = {"missing": missing, "visits": visits, "functions_us": functions, "baseline_us": baseline}
                write(path, {**about, **document})
    finally:
        opponent.close()
    done = sum(visits[key] for key in every)
    print(f"{name}: {done} of {SWEEPS * len(every)} visits, {time.monotonic() - started:.0f} s")


def describe(plan: Plan, folder: TargetFolder, place: Workplace) -> dict[str, Any]:
    """What a file needs to stand alone: the space's structure without the sources, and where it was measured."""
    target, text = folder.target, folder.seeds("cpp")
    saves = {
        stem: {e.name: [t.name for t in saved_tensors(text[stem], target, e.name)] for e in target.entries}
        for stem in plan.seeds
    }
    return {
        "target": plan.target,
        "dtype": DTYPE,
        "workloads": list(plan.workloads),
        "functions": list(function_names(target)),
        "seeds": {stem: {name: list(v) for name, v in values.items()} for stem, values in plan.seeds.items()},
        "saves": saves,
        "environment": dict(place.environment()),
        "date": time.strftime("%Y-%m-%d"),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    scratch = path.with_suffix(".part")
    scratch.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(scratch, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", choices=sorted(SPACES))
    parser.add_argument("step", choices=("compile", "measure"))
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds to measure")
    parser.add_argument("--threads", type=int, help="of every contender (default: all cores)")
    arguments = parser.parse_args()
    plan, place = SPACES[arguments.space], open_workplace(arguments.threads)
    folder = place.target(plan.target)
    if arguments.step == "compile":
        for candidate in bindings(plan, folder).values():
            cpp.build(folder.target, candidate, DTYPE, place.cache_dir)
    else:
        measure(arguments.space, plan, folder, place, arguments.seconds)


if __name__ == "__main__":
    main()
