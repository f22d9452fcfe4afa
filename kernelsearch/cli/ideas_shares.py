"""`kernelsearch ideas shares`: how much of a training step each target takes, measured where it runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from kernelsearch.cli.kernels import parts_of
from kernelsearch.cli.trainer import describe_config, trainer_command
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.dispatch.contender import Contender, Trainer
from kernelsearch.errors import UsageError
from kernelsearch.ideas.gain import Shares, write_shares
from kernelsearch.ledger.chain import utc_now
from kernelsearch.report.text import open_console
from kernelsearch.timing.environment import cpu_model

FACTORY = "kernelsearch.dispatch.timed:timed"
FIRST_STEPS = 2
TIMEOUT_S = 1800.0


def run(config: str, steps: int, dtype: str, threads: int | None) -> tuple[dict[str, Any], int]:
    if steps < 1:
        raise UsageError(f"steps={steps}: measure at least one")
    describe_config(config)
    place = open_workplace(threads)
    spans = [folder.target.name for folder in place.folders() if parts_of(folder)]
    others = [folder.target.name for folder in place.folders() if not parts_of(folder)]
    step_ms, targets_ms = _measure(place, config, dtype, steps, others)
    # A span swallows the calls of its parts, so spans are measured in a run of their own, and put in its terms.
    span_step_ms, spans_ms = _measure(place, config, dtype, steps, spans)
    targets_ms |= {name: value * step_ms / span_step_ms for name, value in spans_ms.items()}
    ordered = dict(sorted(targets_ms.items(), key=lambda item: -item[1]))
    shares = Shares(config, dtype, cpu_model(), "cpu", place.threads, utc_now(), steps, step_ms, ordered)
    file = write_shares(place.state_dir, shares)
    console = open_console(stderr=True)
    console.print(_table(shares))
    console.print(f"kept in {file}: `kernelsearch ideas list` orders by it", markup=False, soft_wrap=True)
    return shares.as_json(), 0


def _measure(
    place: Workplace, config: str, dtype: str, steps: int, targets: list[str]
) -> tuple[float, dict[str, float]]:
    """Milliseconds of a step, and of each of these targets in it, baselines all."""
    init = {
        "config": config,
        "seed": 1,
        "dtype": dtype,
        "cache_dir": str(place.cache_dir / "nanochat"),
        "threads": place.threads,
        "keep_memory": True,
        "ops": {"factory": FACTORY, "argument": {"targets": targets, "library": str(place.library)}},
    }
    with Trainer("stopwatch", Contender(trainer_command("worker"), init), TIMEOUT_S) as trainer:
        trainer.init()
        trainer.step(FIRST_STEPS)
        before: Mapping[str, float] = trainer.report()["seconds"]
        _, seconds, _ = trainer.step(steps)
        after: Mapping[str, float] = trainer.report()["seconds"]
    return 1e3 * float(np.mean(seconds)), {name: 1e3 * (after[name] - before[name]) / steps for name in targets}


def _table(shares: Shares) -> Table:
    title = (
        f"a step of {shares.config}, {shares.dtype}, {shares.device}, {shares.threads} threads: {shares.step_ms:.0f} ms"
    )
    table = Table("target", "ms", "share", title=title, box=None)
    for name, value in shares.targets_ms.items():
        table.add_row(name, f"{value:.2f}", f"{value / shares.step_ms:.1%}")
    return table
