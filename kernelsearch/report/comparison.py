"""A comparison of two sides: one sentence a kernel on the terminal; verdict, table and folded details in Markdown."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from kernelsearch.compare.pairs import Change
from kernelsearch.compare.result import Comparison, Row, Timing
from kernelsearch.report.markdown import fold, markdown_table, markdown_text
from kernelsearch.report.text import count, foreign, format_us

TITLES = ("kernel", "workload", "answer", "time, new over old", "old us", "new us", "A/A noise", "meetings")

METHOD = (
    "Each pair of kernels ran on the same inputs in windows that take turns, in several meetings of fresh processes; "
    "the interval is the hull of a majority of their 95% intervals."
)


def render_comparison(comparison: Comparison) -> RenderableType:
    """What `kernelsearch compare` shows."""
    parts: list[RenderableType] = [foreign(f"{comparison.head} against {comparison.base}, {comparison.device}")]
    failures = comparison.failures
    for row in _changed(comparison):
        parts.append(foreign(f"  {row.sentence}", "bold red" if row in failures else ""))
        parts += [foreign(f"    {note}") for note in row.notes]
    parts.append(Text(comparison.summary, "bold green" if comparison.holds else "bold red"))
    return Group(*parts)


def write_comparison(comparison: Comparison) -> str:
    """For a step summary or a pull request's comment: the verdict first, the table, details folded."""
    verdict = "holds" if comparison.holds else "fails"
    parts = [f"### Kernel gate {verdict}", f"{comparison.summary}"]
    failures = comparison.failures
    if failures:
        parts.append("\n".join(f"- **{markdown_text(row.sentence)}**" for row in failures))
    rows = [cells for row in _changed(comparison) for cells in _cells(row)]
    if rows:
        parts.append(markdown_table(TITLES, rows))
    parts.append(fold("How this was measured", _method(comparison)))
    return "\n\n".join(parts) + "\n"


def _changed(comparison: Comparison) -> list[Row]:
    return [row for row in comparison.rows if row.change is not Change.SAME]


def _cells(row: Row) -> Iterator[tuple[str, ...]]:
    name = f"{row.target} {row.kernel}"
    if not row.timings:
        yield (name, "-", row.sentence.removeprefix(f"{name}: "), *["-"] * 5)
    for timing in row.timings:
        answer = timing.decision.sentence
        yield (name, timing.workload, row.problem or answer, *_figures(timing))


def _figures(timing: Timing) -> tuple[str, ...]:
    decision = timing.decision
    if decision.ratio is None or decision.low is None or decision.high is None or decision.noise is None:
        return ("-", "-", "-", "-", str(len(decision.meetings)))
    quiet = [meeting for meeting in decision.meetings if meeting.is_quiet]
    old, new = (sum(values) / len(quiet) for values in ([m.base_us for m in quiet], [m.head_us for m in quiet]))
    interval = f"{decision.ratio:.3f} [{decision.low:.3f}, {decision.high:.3f}]"
    return (interval, format_us(old), format_us(new), f"{decision.noise:.1%}", str(len(decision.meetings)))


def _method(comparison: Comparison) -> str:
    same = [f"{row.target} {row.kernel}" for row in comparison.rows if row.change is Change.SAME]
    notes = [f"{row.target} {row.kernel}: {note}." for row in comparison.rows for note in row.notes]
    proven = [row for row in comparison.rows if row.verdict is not None and row.verdict.passed]
    facts = ", ".join(f"{name} {value}" for name, value in comparison.environment.items())
    still_open = "fails" if comparison.is_noise_failure else "passes"
    lines = [
        f"{comparison.head} against {comparison.base}, in one run of {comparison.seconds:.0f} s. {METHOD}",
        f"Slower: the whole interval is beyond {comparison.tolerance:.1%}. What stays open {still_open}.",
        f"Judged again and right: {count(len(proven), 'kernel', 'kernels')}.",
        f"Unchanged and not timed: {', '.join(same) or 'none'}.",
        f"{comparison.device}: {facts}.",
        *notes,
    ]
    return "\n\n".join(markdown_text(line) for line in lines)
