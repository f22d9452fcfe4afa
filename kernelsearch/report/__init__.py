"""Rows and records as a person reads them: on the terminal and as Markdown."""

from kernelsearch.report.content import collect
from kernelsearch.report.document import write_content
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.progress import StudyProgress
from kernelsearch.report.race import render_race
from kernelsearch.report.results import read_results
from kernelsearch.report.rows import LedgerReport, report_ledger
from kernelsearch.report.study import render_study
from kernelsearch.report.terminal import render_content
from kernelsearch.report.text import open_console
from kernelsearch.report.verdict import render_verdict

__all__ = [
    "Evidence",
    "LedgerReport",
    "StudyProgress",
    "collect",
    "open_console",
    "read_results",
    "render_content",
    "render_race",
    "render_study",
    "render_verdict",
    "report_ledger",
    "write_content",
]
