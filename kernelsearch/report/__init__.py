"""Rows and records as a person reads them: on the terminal and as Markdown."""

from kernelsearch.report.overview import render_ledger, write_markdown
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.race import render_race
from kernelsearch.report.rows import LedgerReport, report_ledger
from kernelsearch.report.study import render_study
from kernelsearch.report.text import open_console
from kernelsearch.report.verdict import render_verdict

__all__ = [
    "LedgerReport",
    "StudyProgress",
    "open_console",
    "render_ledger",
    "render_race",
    "render_study",
    "render_verdict",
    "report_ledger",
    "write_markdown",
]
