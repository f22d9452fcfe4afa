"""Figures for other programs: JUnit XML, which every CI server reads, and the JSON of github-action-benchmark.

JUnit has no place for an interval: sentences carry it. github-action-benchmark compares figures of different runs, so
only ratios measured within one run are given to it: `customSmallerIsBetter` for comparisons (new time over old),
`customBiggerIsBetter` for a ledger (speed-up over the baseline).
"""

import json
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from kernelsearch.compare.decision import Outcome
from kernelsearch.compare.result import Comparison, Row
from kernelsearch.report.rows import LedgerReport
from kernelsearch.report.text import shown
from kernelsearch.spec import Verdict


def write_junit(comparison: Comparison) -> str:
    """A suite for each target, a case for each kernel and workload, and one for its proof."""
    suites = []
    for target in dict.fromkeys(row.target for row in comparison.rows):
        cases = [case for row in comparison.rows if row.target == target for case in _row_cases(row, comparison)]
        suites.append(_suite(target, cases))
    return _document(suites)


def write_verdicts_junit(verdicts: Sequence[Verdict]) -> str:
    """A suite for each verdict, a case for each of its gates."""
    return _document([_suite(f"{v.target} {v.dtype} {v.digest[:12]}", _gate_cases(v)) for v in verdicts])


def write_benchmark_action(comparison: Comparison) -> str:
    """For `tool: customSmallerIsBetter`: time of each new kernel over the old one's."""
    entries = []
    for row in comparison.rows:
        for timing in row.timings:
            decision = timing.decision
            if decision.ratio is not None and decision.low is not None and decision.high is not None:
                name = f"{row.target} {row.kernel} {timing.workload}"
                extra = f"{decision.sentence}; {comparison.device}, {comparison.threads} threads"
                entries.append(_entry(name, "new time / old time", decision.ratio, decision.low, decision.high, extra))
    return json.dumps(entries, indent=2) + "\n"


def write_ledger_benchmark_action(report: LedgerReport) -> str:
    """For `tool: customBiggerIsBetter`: speed-up of the best kernel of each target over the baseline."""
    entries = [
        _entry(
            f"{row.target} {row.workloads} {row.dtype}",
            "x baseline",
            row.speedup,
            row.low,
            row.high,
            f"{row.candidate[:12]} {row.origin}, {'accepted' if row.is_accepted else 'not accepted'}, {row.time[:16]}",
        )
        for row in report.best
    ]
    return json.dumps(entries, indent=2) + "\n"


def _entry(name: str, unit: str, value: float, low: float, high: float, extra: str) -> dict[str, str | float]:
    return {"name": name, "unit": unit, "value": value, "range": f"[{low:.3f}, {high:.3f}]", "extra": extra}


def _row_cases(row: Row, comparison: Comparison) -> list[ElementTree.Element]:
    name = f"{comparison.head} against {comparison.base}"
    cases = []
    if row.verdict is not None:
        cases.append(_case(row.kernel, "proof", row.verdict.seconds))
        if not row.verdict.passed:
            _add(cases[-1], "failure", row.sentence, row.verdict.counterexample or "")
    for timing in row.timings:
        cases.append(_case(row.kernel, timing.workload, 0.0))
        outcome, sentence = timing.decision.outcome, timing.decision.sentence
        if outcome is Outcome.SLOWER or (outcome is Outcome.NOISY and comparison.is_noise_failure):
            _add(cases[-1], "failure", sentence, name)
        elif outcome is Outcome.NOISY:
            _add(cases[-1], "skipped", sentence, "")
        else:
            _add(cases[-1], "system-out", None, sentence)
    if row.problem is not None:
        cases.append(_case(row.kernel, "comparison", 0.0))
        _add(cases[-1], "error", row.problem, name)
    if not cases:
        cases.append(_case(row.kernel, str(row.change), 0.0))
    return cases


def _gate_cases(verdict: Verdict) -> list[ElementTree.Element]:
    cases = []
    for gate in verdict.gates:
        cases.append(_case(verdict.language, gate.name, gate.seconds))
        if not gate.passed:
            _add(cases[-1], "failure", f"{verdict.status}: {verdict.detail}", verdict.counterexample or "")
    return cases


def _document(suites: Iterable[ElementTree.Element]) -> str:
    root = ElementTree.Element("testsuites", name="kernelsearch")
    root.extend(suites)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(name: str, cases: Sequence[ElementTree.Element]) -> ElementTree.Element:
    counts = {
        tag: str(sum(case.find(tag[:-1] if tag != "skipped" else tag) is not None for case in cases))
        for tag in ("failures", "errors", "skipped")
    }
    seconds = sum(float(case.get("time", "0")) for case in cases)
    suite = ElementTree.Element("testsuite", name=shown(name), tests=str(len(cases)), time=f"{seconds:.3f}")
    for tag, number in counts.items():
        suite.set(tag, number)
    suite.extend(cases)
    return suite


def _case(classname: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname=shown(classname), name=shown(name), time=f"{seconds:.3f}")


def _add(case: ElementTree.Element, tag: str, message: str | None, text: str) -> None:
    found = ElementTree.SubElement(case, tag, {} if message is None else {"message": shown(message)})
    found.text = shown(text)
