"""A small corpus on the row_sum target judged for real: mutants die, twins are recognised, a journal is resumed."""

from pathlib import Path

import pytest

from kernelsearch.sandbox.judge import Care
from kernelsearch.scorecard import measure
from kernelsearch.scorecard.corpus import Subject, honest_subjects, mutant_subjects
from kernelsearch.scorecard.examine import Examination
from kernelsearch.scorecard.journal import append_row, read_rows
from kernelsearch.scorecard.measure import answer, corpus_questions
from kernelsearch.scorecard.mutate import Base, mutants_of
from kernelsearch.spec import TargetFolder, read_candidate

FOLDER = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")
BASE = Base("row_sum", "plain", FOLDER.seeds("cpp")["plain"])
QUICK = Care(examples=10, search_s=1.0)
NO_HONEST = Path("nowhere")


@pytest.fixture(scope="session")
def examination(tmp_path_factory) -> Examination:
    return Examination(tmp_path_factory.mktemp("cache"), "harness", care=QUICK)


def subject(source: str) -> Subject:
    """The seed with another source, as a mutant of it."""
    mutant = next(m for m in mutants_of(BASE, "float32"))
    return Subject(FOLDER, BASE, read_candidate("row_sum", "cpp", source, "test"), "float32", mutant)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int64_t d = 0; d < D; d++) sum", "int64_t d = 1; d < D; d++) sum"),
        ("d < D; d++) sum", "d < D / 8 * 8; d++) sum"),
        ("sum += value", "sum = value"),
        ("scale * sum", "1.01f * scale * sum"),
        ("scale * value(dtotal + n)", "scale * value(dtotal)"),
        ("dx + n * D + d", "dx + d"),
    ],
)
def test_a_mutant_is_refused(examination, old, new):
    assert old in BASE.source
    assert examination.examine(subject(BASE.source.replace(old, new)), 0).outcome == "refused"


def test_an_honest_reordering_is_accepted_with_its_gates_and_rules(examination):
    row = examination.examine(subject(BASE.source.replace("x + n * D + d", "x + n * D + (D - 1 - d)")), 0)
    assert row.outcome == "accepted" and row.gates["ladder"] > 0 and row.rules["allclose-1e-2"]


def test_the_same_object_code_in_another_text_is_recognised(examination):
    assert examination.examine(subject(BASE.source.replace("float sum = 0;", "float sum{};")), 0).outcome == "identical"


def test_a_changed_constant_is_other_object_code(examination):
    changed = BASE.source.replace("write(total + n, scale * sum)", "write(total + n, scale * sum + 3.25e-5f)")
    assert examination.examine(subject(changed), 0).outcome == "refused"


def test_what_does_not_compile_is_no_kernel(examination):
    assert (
        examination.examine(subject(BASE.source.replace("float sum = 0;", "float sum = zero;")), 0).outcome == "unbuilt"
    )


def test_a_run_goes_on_where_it_stopped(examination, tmp_path):
    questions = [(s, 0) for s in mutant_subjects([FOLDER], NO_HONEST, 3)][:3]
    journal, heard = tmp_path / "verdicts.jsonl", []
    append_row(journal, examination.examine(*questions[0]))
    rows = answer(questions, examination, journal, progress=lambda row, done, total: heard.append(done))
    assert [row.key for row in rows] == [s.key("harness", attempt) for s, attempt in questions]
    assert heard == [2, 3] and len(read_rows(journal)) == 3


def test_what_is_on_disk_is_not_judged_again(examination, tmp_path, monkeypatch):
    question = (subject(BASE.source.replace("sum += value", "sum = value")), 0)
    append_row(tmp_path / "verdicts.jsonl", examination.examine(*question))
    monkeypatch.setattr(measure, "ProcessPoolExecutor", None)
    assert answer([question], examination, tmp_path / "verdicts.jsonl")[0].outcome == "refused"


def test_an_unfinished_last_line_is_cut_off(examination, tmp_path):
    journal = tmp_path / "verdicts.jsonl"
    append_row(journal, examination.examine(subject(BASE.source.replace("sum += value", "sum = value")), 0))
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"key": "half')
    assert len(read_rows(journal)) == 1 and journal.read_bytes() == whole


def test_another_harness_asks_again():
    asked = subject(BASE.source)
    assert asked.key("one", 0) != asked.key("other", 0) != asked.key("other", 1)


def test_honest_subjects_are_the_seed_at_its_bindings_in_both_dtypes():
    found = honest_subjects([FOLDER], NO_HONEST)
    assert [(s.candidate.tunables["UNROLL"], s.dtype) for s in found] == [
        (1, "float32"),
        (1, "bfloat16"),
        (4, "float32"),
        (4, "bfloat16"),
    ]


def test_honest_kernels_and_some_mutants_are_asked_twice():
    questions = corpus_questions([FOLDER], NO_HONEST, 16)
    again = [s.kind for s, attempt in questions if attempt == 1]
    assert again.count("honest") == 4 and again.count("mutant") == 4
