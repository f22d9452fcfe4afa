"""`kernelsearch report`: what the ledger holds."""

from pathlib import Path
from typing import Any

from kernelsearch.cli.page import write_page
from kernelsearch.cli.workplace import open_workplace
from kernelsearch.report.overview import render_ledger, write_markdown
from kernelsearch.report.rows import report_ledger
from kernelsearch.report.text import open_console


def run(markdown: Path | None, html: Path | None = None, results: Path | None = None) -> tuple[dict[str, Any], int]:
    place = open_workplace(None)
    if html is not None:
        write_page(place, results, html)
        open_console(stderr=True).print(f"{html} written", markup=False, soft_wrap=True)
        if not place.ledger_path.is_file():
            return {"html": str(html)}, 0
    found = report_ledger(place.ledger_path)
    if html is not None:
        return {**found.as_json(), "html": str(html)}, 0
    if markdown is None:
        open_console(stderr=True).print(render_ledger(found))
    else:
        markdown.write_text(write_markdown(found))
    return found.as_json(), 0
