"""Files for other programs: what a CI server shows as failed, and figures with their intervals."""

import json
from xml.etree import ElementTree

import pytest

from kernelsearch.compare.decision import Meeting, decide
from kernelsearch.compare.pairs import Change
from kernelsearch.compare.result import Comparison, Row, Timing
from kernelsearch.report.comparison import write_comparison
from kernelsearch.report.exports import (
    write_benchmark_action,
    write_junit,
    write_ledger_benchmark_action,
    write_verdicts_junit,
)
from kernelsearch.report.rows import best_verdicts, report_ledger
from tests.report.conftest import make_trial
from tests.report.test_ledger import write_study


def row(*ratios: float, kernel: str = "cpu-cpp-float32", verdict=None, is_quiet: bool = True) -> Row:
    meetings = [Meeting(r, r - 0.005, r + 0.005, 0.004, 20, 100.0, 100 * r, is_quiet) for r in ratios]
    timings = (Timing("tiny/full", decide(meetings, 0.025)),) if ratios else ()
    change = Change.SOURCE if ratios or verdict else Change.SAME
    return Row("attention", kernel, change, "a" * 64, "b" * 64, verdict, timings)


def comparison(*rows: Row, is_noise_failure: bool = True) -> Comparison:
    return Comparison("main", "working tree", "a CPU", 2, 0.025, is_noise_failure, rows, 9.0, {"torch": "2.13"})


def statuses(text: str) -> list[str]:
    """The tag within each test case."""
    return [next((child.tag for child in case), "passed") for case in ElementTree.fromstring(text).iter("testcase")]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (comparison(row(1.05, 1.05)), "failure"),
        (comparison(row(1.0, 1.0)), "system-out"),
        (comparison(row(1.0, 1.06)), "failure"),
        (comparison(row(1.0, 1.06), is_noise_failure=False), "skipped"),
        (comparison(row(1.0, is_quiet=False), is_noise_failure=False), "skipped"),
        (comparison(row(verdict=make_trial(8, None).verdict)), "failure"),
        (comparison(row()), "passed"),
    ],
)
def test_what_the_gate_says_is_what_junit_shows(found, status):
    assert statuses(write_junit(found)) == [status]
    assert found.holds == (status != "failure")


def test_a_refused_kernel_names_its_counterexample_in_junit():
    text = write_verdicts_junit([make_trial(8, None).verdict])
    assert statuses(text) == ["passed", "failure"]
    assert "B=1 T=3" in text


def test_noise_that_passes_is_still_said():
    assert "1 too noisy" in comparison(row(1.0, 1.06), is_noise_failure=False).summary


def test_a_ledger_s_best_kernels_are_exported_with_their_gates(tmp_path):
    ledger = write_study(tmp_path, make_trial(8, 1.2), make_trial(16, None))
    assert statuses(write_verdicts_junit(best_verdicts(ledger))) == ["passed", "passed"]
    (entry,) = json.loads(write_ledger_benchmark_action(report_ledger(ledger)))
    assert (entry["name"], entry["value"], entry["range"]) == ("attention tiny float32", 1.25, "[1.200, 1.300]")


def test_github_action_benchmark_gets_the_ratio_with_its_interval():
    (entry,) = json.loads(write_benchmark_action(comparison(row(1.05, 1.05))))
    assert (entry["value"], entry["range"]) == (pytest.approx(1.05), "[1.045, 1.055]")


def test_the_summary_says_its_verdict_before_its_figures():
    text = write_comparison(comparison(row(1.05, 1.05), row(kernel="untouched")))
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == "### Kernel gate fails"
    assert lines[2] == "- **attention cpu-cpp-float32: slower by 4.5-5.5%**"
    assert text.index("<details>") < text.index("untouched")


def test_a_name_cannot_end_the_summary_s_table_or_fold():
    assert "</details>\n<script" not in write_comparison(comparison(row(1.0, 1.0, kernel="x|</details>\n<script")))
