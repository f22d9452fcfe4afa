"""How a training step's time is shared among its hot paths, measured here: what a faster kernel could be worth.

One eager worker whose ops keep time (forward and backward of every call), one step at a time. A target that spans
others, such as a whole feed-forward layer, is measured in a second run that calls the spans instead of their parts;
shares of a span and of its parts therefore overlap. What no hot path holds is the rest of the step.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kernelsearch.cli.trainer import TIMED_OPS, trainer_command
from kernelsearch.cli.workplace import Workplace
from kernelsearch.dispatch.contender import Contender, Trainer
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger.chain import utc_now
from kernelsearch.timing.environment import cpu_model

FIRST_STEPS = 3
STEPS = 8
TIMEOUT_S = 600.0
FIELDS = ("calls", "forward_s", "backward_s")


def measure_shares(place: Workplace, config: str, dtype: str, steps: int = STEPS) -> dict[str, Any]:
    """Microseconds a step of every entry and target, medians of so many steps; written to `shares_path` as well."""
    plain_us, plain = _measure(place, config, dtype, steps, has_spans=False)
    _, spans = _measure(place, config, dtype, steps, has_spans=True)
    entries = {**spans, **plain}  # a part that a span swallows is only called in the plain run
    targets = {}
    for folder in place.folders():
        found = [entries[entry.name] for entry in folder.target.entries if entry.name in entries]
        if found:
            us = sum(entry["us"] for entry in found)
            targets[folder.target.name] = {"us": round(us, 1), "share": round(us / plain_us, 4)}
    answer = {
        "config": config,
        "dtype": dtype,
        "device": cpu_model(),
        "device_kind": "cpu",
        "threads": place.threads,
        "date": utc_now(),
        "command": " ".join(["kernelsearch", *sys.argv[1:]]),
        "steps": steps,
        "step_us": round(plain_us, 1),
        "entries": {name: {**entry, "share": round(entry["us"] / plain_us, 4)} for name, entry in entries.items()},
        "targets": dict(sorted(targets.items(), key=lambda item: -item[1]["us"])),
    }
    _write(shares_path(place, config), answer)
    return answer


def shares_path(place: Workplace, config: str) -> Path:
    return place.state_dir / f"shares-{config}.json"


def read_shares(place: Workplace, config: str, dtype: str) -> dict[str, Any] | None:
    """What was measured before on this device with these threads; None where nothing fits."""
    try:
        found: dict[str, Any] = json.loads(shares_path(place, config).read_text())
        here = {"config": config, "dtype": dtype, "device": cpu_model(), "threads": place.threads}
        return found if all(found[key] == value for key, value in here.items()) and found["targets"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure(
    place: Workplace, config: str, dtype: str, steps: int, *, has_spans: bool
) -> tuple[float, dict[str, dict[str, float]]]:
    """Microseconds of a step; by entry that was called: those of its calls, and how many they were."""
    init = {
        "config": config,
        "seed": 1,
        "dtype": dtype,
        "cache_dir": str(place.cache_dir / "nanochat"),
        "threads": place.threads,
        "ops": {"factory": TIMED_OPS, "argument": {"spans": has_spans}},
    }
    seconds: list[float] = []
    with Trainer("timed", Contender(trainer_command("worker"), init), TIMEOUT_S) as trainer:
        trainer.init()
        trainer.step(FIRST_STEPS)
        reports = [trainer.report()]
        for _ in range(steps):
            seconds += trainer.step(1)[1]
            reports.append(trainer.report())
    names = [name for name, account in reports[-1].items() if account["calls"]]
    return 1e6 * float(np.median(seconds)), {name: _entry([report[name] for report in reports]) for name in names}


def _entry(accounts: list[Mapping[str, float]]) -> dict[str, float]:
    """Medians of what each step added."""
    steps = [[after[key] - before[key] for key in FIELDS] for before, after in pairwise(accounts)]
    calls, forward_s, backward_s = (float(value) for value in np.median(steps, axis=0))
    forward_us, backward_us = round(1e6 * forward_s, 1), round(1e6 * backward_s, 1)
    return {
        "us": round(forward_us + backward_us, 1),
        "forward_us": forward_us,
        "backward_us": backward_us,
        "calls": calls,
    }


def _write(path: Path, document: Mapping[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        scratch.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(scratch, path)
    except OSError as error:
        raise Infrastructure(
            f"{path}: cannot be written ({error.strerror or error}); free some space and go on"
        ) from None
    finally:
        scratch.unlink(missing_ok=True)
