"""Files that other programs read, written from the ledger by `kernelsearch report`."""

from pathlib import Path

from kernelsearch.cli.workplace import open_workplace
from kernelsearch.report.exports import write_ledger_benchmark_action, write_verdicts_junit
from kernelsearch.report.rows import best_verdicts, report_ledger


def write(junit: Path | None, benchmark_action: Path | None) -> None:
    """JUnit XML of the gates of each target's best kernel; their speed-ups as github-action-benchmark reads them."""
    if junit is None and benchmark_action is None:
        return
    ledger = open_workplace(None).ledger_path
    if junit is not None:
        junit.write_text(write_verdicts_junit(best_verdicts(ledger)))
    if benchmark_action is not None:
        benchmark_action.write_text(write_ledger_benchmark_action(report_ledger(ledger)))
