"""`kernelsearch report`: what the ledger holds."""

from pathlib import Path
from typing import Any

from kernelsearch.cli.workplace import open_workplace
from kernelsearch.report.overview import render_ledger, write_markdown
from kernelsearch.report.rows import report_ledger
from kernelsearch.report.text import open_console


def run(markdown: Path | None) -> tuple[dict[str, Any], int]:
    found = report_ledger(open_workplace(None).ledger_path)
    if markdown is None:
        open_console(stderr=True).print(render_ledger(found))
    else:
        markdown.write_text(write_markdown(found))
    return found.as_json(), 0
