"""`kernelsearch report`: what was tried and measured, on the terminal, as Markdown, as a page."""

from pathlib import Path
from typing import Any

from kernelsearch.cli.page import read_evidence, write_page
from kernelsearch.cli.workplace import open_workplace
from kernelsearch.report.content import collect
from kernelsearch.report.document import write_content
from kernelsearch.report.rows import report_lines
from kernelsearch.report.terminal import WIDTH, render_content
from kernelsearch.report.text import open_console


def run(markdown: Path | None, html: Path | None = None, results: Path | None = None) -> tuple[dict[str, Any], int]:
    evidence = read_evidence(open_workplace(None), results)
    content = collect(evidence)
    console = open_console(stderr=True)
    if html is not None:
        write_page(evidence, html)
        console.print(f"{html} written", markup=False, soft_wrap=True)
    if markdown is not None:
        markdown.write_text(write_content(content))
        console.print(f"{markdown} written", markup=False, soft_wrap=True)
    if html is None and markdown is None:
        console.print(render_content(content), width=min(WIDTH, console.width))
    document = {**report_lines(evidence.lines, evidence.ledger).as_json(), **content.as_json()}
    return {**document, "html": str(html)} if html is not None else document, 0
