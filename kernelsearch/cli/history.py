"""`kernelsearch history`: what was measured over dates, commits and machines."""

import re
from pathlib import Path
from typing import Any

from rich.table import Table as Grid

from kernelsearch.cli.state import open_state
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Line, read_lines
from kernelsearch.report.comparisons import KIND, short_comparisons
from kernelsearch.report.history import TITLES, Series, history_cells, read_history, summarise_history, write_history
from kernelsearch.report.table import Table
from kernelsearch.report.terminal import render_table
from kernelsearch.report.text import foreign, open_console

LATEST = 10


def run(results: Path, names: tuple[str, ...], markdown: Path | None, *, from_git: bool) -> tuple[dict[str, Any], int]:
    every = read_history(results, from_git=from_git)
    series = tuple(one for one in every if not names or _is_named(one, names))
    if names and not series:
        known = ", ".join(sorted({part for one in every for part in re.split(r"[ /]", one.name)})) or "none"
        raise UsageError(f"target={', '.join(names)!r}: no result names it; there are {known}")
    lines = _lines()
    compared = short_comparisons(lines, LATEST)
    if markdown is not None:
        markdown.write_text(write_history(series, compared, every_point=bool(names)))
    else:
        _show(series)
        _show_comparisons(compared)
    latest = [line.body for line in lines if line.kind == KIND][-LATEST:]
    return {"results": str(results), "series": [one.as_json() for one in series], "comparisons": latest}, 0


def _lines() -> list[Line]:
    path = open_state() / "ledger.jsonl"
    return list(read_lines(path)) if path.is_file() else []


def _is_named(one: Series, names: tuple[str, ...]) -> bool:
    """Whether one of the names is a word of the series' own: relu2 or d4 of "d4/relu2 forward", but not mlp."""
    return not set(names).isdisjoint(re.split(r"[ /]", one.name))


def _show(series: tuple[Series, ...]) -> None:
    console = open_console(stderr=True)
    for device in dict.fromkeys(one.device for one in series):
        table = Grid(*TITLES, title=device, box=None, pad_edge=False, title_justify="left")
        for one in series:
            if one.device == device:
                table.add_row(*[foreign(cell) for cell in history_cells(one)])
        console.print(table)
    console.print(foreign(summarise_history(series)))


def _show_comparisons(compared: Table | None) -> None:
    """What `compare` and `bisect` measured in this state folder: pairs in one run, which is what decides."""
    if compared is not None:
        console = open_console(stderr=True)
        console.print(foreign(compared.caption, "bold"))
        console.print(render_table(compared))
