"""One report in three forms: what is collected is on the terminal, in Markdown and on the page."""

from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.compare.decision import Meeting, decide
from kernelsearch.compare.pairs import Change
from kernelsearch.compare.result import Comparison, Row, Timing
from kernelsearch.ideas.library import built_in
from kernelsearch.ledger import Ledger, Objects, read_lines
from kernelsearch.report import Evidence, collect, read_results, render_content, write_content
from kernelsearch.report.comparisons import KIND, bisection_body, comparison_body, list_comparisons
from kernelsearch.report.content import Content
from kernelsearch.report.document import MOST_CHARACTERS
from kernelsearch.report.history import Point, Series
from kernelsearch.report.table import Table
from kernelsearch.spec import library_path
from tests.report.conftest import make_trial, show
from tests.report.recorded import RESULTS, record
from tests.report.test_ledger import write_study

TITLES = (
    "Training",
    "Kernels",
    "Searches",
    "The judge, judged",
    "What the search cost",
    "Ideas, predicted and measured",
    "Over time",
    "Comparisons of commits",
    "Evidence",
)
# From each part one figure that only its evidence can have given.
TELLING = (
    "1.9000",
    "1.300x [1.200, 1.400]",
    "0.900x compile",
    "9 of 9",
    "per accepted microsecond",
    "3x",
    "+100.0%",
    "slower by",
)
SLOWER = Meeting(1.05, 1.04, 1.06, 0.004, 20, 100.0, 105.0, True, distance=float("nan"))


def comparison() -> Comparison:
    timing = Timing("tiny/relu2", decide([SLOWER, SLOWER], 0.025))
    row = Row("relu2", "cpu-cpp-float32", Change.SOURCE, "a" * 64, "b" * 64, timings=(timing,))
    return Comparison("main", "HEAD", "AMD", 2, 0.025, True, (row,), 3.0, {"cpu": "AMD"}, "c" * 40, "d" * 40)


def point(ratio: float) -> Point:
    return Point("2026-01-02", None, ratio, ratio - 0.1, ratio + 0.1, None)


@pytest.fixture
def evidence(tmp_path) -> Evidence:
    """A bit of everything."""
    path = write_study(tmp_path, make_trial(8, 1.2), make_trial(16, None))
    Ledger(path).append(KIND, comparison_body(comparison(), 1))
    for name, body in RESULTS.items():
        results = record(tmp_path / "cpu", name, body)
    first = Series("cpu", "step", "tiny", "float32", 2, (point(1.0), point(2.0)))
    ideas = built_in([library_path() / "value_mix"])
    objects = Objects(tmp_path / "objects")
    return Evidence("ledger.jsonl", list(read_lines(path)), objects, read_results(results), {}, (), ideas, (first,))


def page(content: Content, evidence: Evidence) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("vl_convert", reason="needs the report extra")
    from kernelsearch.report.html import render_page

    return render_page(evidence, "report")


FORMS = {
    "terminal": lambda content, evidence: show(render_content(content), width=100),
    "markdown": lambda content, evidence: write_content(content).replace("\\", ""),
    "page": page,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_every_part_and_its_figures(evidence, form):
    content = collect(evidence)
    text = FORMS[form](content, evidence)
    assert [part.title for part in content.parts] == list(TITLES)
    assert [what for what in (*TITLES, *TELLING) if what not in text] == []


def test_a_line_on_the_terminal_has_100_columns_at_most(evidence):
    lines = show(render_content(collect(evidence)), width=200).splitlines()
    tables = [line.rstrip() for line in lines if line.startswith("  ")]
    assert max(map(len, tables)) <= 100


def test_a_figure_is_not_cut_on_the_terminal_while_a_text_is_long(evidence):
    assert "1.250x [1.200, 1.300]" in FORMS["terminal"](collect(evidence), evidence)


def test_markdown_stays_short_enough_for_a_comment(evidence):
    content = collect(evidence)
    long = Table(("a",), (("x" * 100,),) * 1000, "Long")
    parts = tuple(replace(part, tables=(long,)) for part in content.parts)
    text = write_content(replace(content, parts=parts))
    assert len(text) < MOST_CHARACTERS + 1000
    assert "Long (1000 rows): on the page" in text


def test_a_comparison_is_recorded_with_commits_intervals_sentence_and_status(tmp_path):
    line = Ledger(tmp_path / "ledger.jsonl").append(KIND, comparison_body(comparison(), 1))
    (kernel,) = line.body["kernels"]
    assert (line.body["base_commit"], line.body["head_commit"], line.body["status"]) == ("c" * 40, "d" * 40, 1)
    assert [kernel["timings"][0][key] for key in ("low", "ratio", "high")] == [1.04, 1.05, 1.06]
    assert kernel["sentence"] == "relu2 cpu-cpp-float32: slower by 4.0-6.0%"


def test_a_bisection_is_recorded_with_each_commit_that_was_asked(tmp_path):
    path = tmp_path / "ledger.jsonl"
    body = bisection_body(("a" * 40, "e" * 40), [comparison()], "d made it slower", 0)
    Ledger(path).append(KIND, body)
    table = list_comparisons(list(read_lines(path)), 5)
    assert [row[1:4] for row in table.rows[:1]] == [("a" * 12, "e" * 12, f"relu2 cpu-cpp-float32 at {'d' * 12}")]
    assert table.rows[-1][-1] == "d made it slower Status 0."


def test_without_evidence_only_the_way_to_it_is_told(tmp_path: Path):
    content = collect(Evidence("ledger.jsonl", [], Objects(tmp_path), (), {}, ()))
    assert [part.title for part in content.parts] == ["Evidence"]
