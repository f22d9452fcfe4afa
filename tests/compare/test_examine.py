"""What becomes of a pair: what is judged, what is timed, and what fails whatever the times."""

from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.cli import compare as command
from kernelsearch.compare import examine
from kernelsearch.compare.decision import Meeting, decide
from kernelsearch.compare.examine import Examiner
from kernelsearch.compare.meeting import Gate
from kernelsearch.compare.pairs import Pair, pair_up
from kernelsearch.compare.sides import Place, read_side
from kernelsearch.errors import UsageError
from kernelsearch.ledger import read_lines
from kernelsearch.spec import Status, Verdict, library_path
from tests.compare.conftest import SOURCE

EQUAL = Meeting(1.0, 0.995, 1.005, 0.004, 20, 100.0, 100.0, True)
RIGHT = Verdict("row_sum", "d" * 64, "cpp", "float32", Status.PASSED, "equal", 1.0)
WRONG = replace(RIGHT, status=Status.MISMATCH, detail="too far off")


@pytest.fixture
def pair(repository, tmp_path) -> Pair:
    """A kernel whose source changed."""
    repository.commit("as it was")
    repository.accept(SOURCE + "// changed")
    place = Place(repository.path, "kernels", library_path(), tmp_path / "scratch", None, "float32")
    (found,) = pair_up(read_side("HEAD", place), read_side(None, place), ())
    return found


@pytest.fixture
def meetings(monkeypatch) -> list[Meeting]:
    """What every comparison finds; empty where there must be none."""
    found = [EQUAL, EQUAL]
    monkeypatch.setattr(examine, "compare_kernels", lambda *arguments: decide(found, 0.025))
    return found


def look(pair: Pair, verdict: Verdict | None):
    gate = Gate(0.025, 5, Path("unused"), 1)
    prove = None if verdict is None else lambda kernel, workloads: verdict
    return Examiner(gate, prove, None).examine(pair)


def test_a_proven_kernel_that_is_not_slower_passes(pair, meetings):
    row = look(pair, RIGHT)
    assert not row.fails(is_noise_failure=True)
    assert "equal within 0.5%" in row.sentence


def test_a_refuted_kernel_fails_and_is_not_timed(pair, meetings):
    row = look(pair, WRONG)
    assert row.fails(is_noise_failure=False)
    assert row.timings == ()
    assert row.sentence == "row_sum cpu-cpp-float32: not equal any more, MISMATCH: too far off"


@pytest.mark.parametrize(("verdict", "fails"), [(None, True), (RIGHT, False)])
def test_other_outputs_than_the_old_kernel_s_need_a_proof(pair, meetings, verdict, fails):
    meetings[:] = [replace(EQUAL, distance=float("nan"))] * 2
    assert look(pair, verdict).fails(is_noise_failure=True) == fails


def test_the_same_kernel_under_a_changed_contract_is_judged_and_not_timed(repository, pair, meetings):
    assert pair.base is not None and pair.head is not None
    (pair.head.folder.path / "properties.py").open("a").write("# stricter\n")
    same = replace(pair, change=examine.Change.CONTRACT, head=replace(pair.head, candidate=pair.base.candidate))
    row = look(same, RIGHT)
    assert (row.timings, row.sentence) == ((), "row_sum cpu-cpp-float32: contract changed, proven")


def test_a_comparison_leaves_its_line_in_the_ledger(pair, meetings, monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "home"))
    meetings[:] = [replace(EQUAL, ratio=1.05, low=1.04, high=1.06)] * 2
    repository = pair.kernel.folder.path.parents[1]
    request = command.Request("HEAD", None, (), None, "float32", 0.025, 5, True, False, repository, "kernels", 1)
    document, status = command.run(request)
    (line,) = read_lines(tmp_path / "home" / "ledger.jsonl")
    told = (line.kind, line.body["base_commit"], line.body["sentence"], line.body["status"])
    assert told == ("comparison", document["base_commit"], document["summary"], status)
    assert (status, line.body["kernels"][0]["timings"][0]["low"]) == (1, 1.04)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tolerance": 0.0}, "tolerance=0"),
        ({"most_meetings": 1}, "meetings=1"),
        ({"markdown": Path("nowhere/x.md")}, "nowhere/x.md"),
    ],
)
def test_wrong_usage_is_named_before_anything_runs(change, named):
    request = command.Request("HEAD", None, (), None, "float32", 0.025, 5, True, True, Path(), "kernels", 1)
    with pytest.raises(UsageError, match=named):
        command.run(replace(request, **change))
