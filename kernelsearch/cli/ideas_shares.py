"""`kernelsearch ideas shares`: how much of a training step each target takes, measured where it runs."""

from typing import Any

from rich.table import Table

from kernelsearch.cli.shares import measure_shares, shares_path
from kernelsearch.cli.trainer import describe_config
from kernelsearch.cli.workplace import open_workplace
from kernelsearch.report.text import open_console


def run(config: str, steps: int, dtype: str, threads: int | None) -> tuple[dict[str, Any], int]:
    describe_config(config)
    place = open_workplace(threads)
    shares = measure_shares(place, config, dtype, steps)
    console = open_console(stderr=True)
    console.print(_table(shares))
    kept = shares_path(place, config)
    console.print(f"kept in {kept}: `kernelsearch ideas list` orders by it", markup=False, soft_wrap=True)
    return shares, 0


def _table(shares: dict[str, Any]) -> Table:
    where = f"{shares['dtype']}, {shares['device']}, {shares['threads']} threads"
    title = f"a step of {shares['config']}, {where}: {shares['step_us'] / 1000:.0f} ms"
    table = Table("target", "ms", "share", title=title, box=None)
    for name, target in shares["targets"].items():
        table.add_row(name, f"{target['us'] / 1000:.2f}", f"{target['share']:.1%}")
    return table
