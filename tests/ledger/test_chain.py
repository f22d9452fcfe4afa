"""Properties of the ledger: nothing in it changes unnoticed, nothing half written stays, two processes may append."""

import multiprocessing
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelsearch.errors import CorruptState, Infrastructure
from kernelsearch.ledger import GENESIS, Ledger, read_lines, verify_chain

BODIES = [
    {"candidate": "c0", "context": "x", "digest": "d"},
    {"candidate": "c1", "context": "x"},
    {"note": 'a"b\n\u00e9'},
]
KINDS = ["trial", "trial", "study"]


def write_ledger(path: Path) -> bytes:
    ledger = Ledger(path, clock=lambda: "2026-01-01T00:00:00.000+00:00")
    for kind, body in zip(KINDS, BODIES, strict=True):
        ledger.append(kind, body)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")


def test_what_is_appended_is_read_back(path):
    write_ledger(path)
    assert [line.body for line in Ledger(path)] == BODIES


def test_lines_are_chained_from_genesis(path):
    write_ledger(path)
    lines = list(read_lines(path))
    assert [line.previous for line in lines] == [GENESIS, lines[0].digest, lines[1].digest]


def test_a_trial_is_found_by_candidate_and_context(path):
    write_ledger(path)
    assert [line.sequence for line in Ledger(path).trials("c1", "x")] == [1]


def test_find_compares_fields_of_the_body(path):
    write_ledger(path)
    assert [line.sequence for line in Ledger(path).find("trial", candidate="c0")] == [0]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_noticed(data, written, tmp_path_factory):
    position = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != written[position]))
    path = tmp_path_factory.mktemp("changed") / "ledger.jsonl"
    path.write_bytes(written[:position] + bytes([byte]) + written[position + 1 :])
    with pytest.raises(CorruptState):
        verify_chain(path)
    with pytest.raises(CorruptState):
        Ledger(path)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_removed_or_repeated_or_swapped_line_is_noticed(data, written, tmp_path_factory):
    lines = written.splitlines(keepends=True)
    order = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4).filter(lambda o: o != list(range(len(o)))))
    path = tmp_path_factory.mktemp("moved") / "ledger.jsonl"
    path.write_bytes(b"".join(lines[index] for index in order))
    with pytest.raises(CorruptState, match="line"):
        verify_chain(path)


@pytest.mark.filterwarnings("ignore:.*unfinished:UserWarning")
def test_a_write_killed_at_any_byte_leaves_the_records_before_it(written, tmp_path):
    start = written.rindex(b"\n", 0, -1) + 1
    found = [reopen(tmp_path / str(cut), written[:cut]) for cut in range(start, len(written))]
    assert found == [2] * len(found)


def reopen(folder: Path, content: bytes) -> int:
    """Records that are there after reopening `content`, adding a record, and checking all."""
    folder.mkdir()
    path = folder / "ledger.jsonl"
    path.write_bytes(content)
    Ledger(path).append("study", {"note": "later"})
    return verify_chain(path).lines - 1


def test_an_unfinished_line_is_kept_aside_with_a_warning(path):
    content = write_ledger(path)
    path.write_bytes(content[:-10])
    with pytest.warns(UserWarning, match="unfinished"):
        Ledger(path)
    assert [file.read_bytes() for file in path.parent.glob("*.unfinished-*")] == [content.splitlines(True)[2][:-10]]


def test_checking_a_chain_reports_an_unfinished_line_and_changes_nothing(path):
    content = write_ledger(path)
    path.write_bytes(content[:-10])
    report = verify_chain(path)
    assert (report.lines, report.trials, report.unfinished_bytes > 0) == (2, 2, True)
    assert path.read_bytes() == content[:-10]


def test_the_error_names_line_difference_and_way_out(path):
    path.write_bytes(write_ledger(path).replace(b'"c1"', b'"c9"'))
    with pytest.raises(
        CorruptState, match=r"line 2: its content has digest .*kernelsearch verify .*move this file away"
    ):
        Ledger(path)


def test_a_record_that_no_json_can_hold_leaves_the_ledger_as_it_was(path):
    content = write_ledger(path)
    with pytest.raises(ValueError, match="nan"):
        Ledger(path).append("study", {"low": float("nan")})
    assert path.read_bytes() == content


def test_a_trial_without_its_keys_is_refused(path):
    with pytest.raises(ValueError, match="names its candidate"):
        Ledger(path).append("trial", {"candidate": "c"})


APPEND_WITH_LIMIT = """
import resource, sys
from pathlib import Path
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger
path = Path(sys.argv[1])
ledger = Ledger(path)
limit = path.stat().st_size + 40
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    ledger.append("study", {"note": "does not fit"})
except Infrastructure as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.append("study", {"note": "fits"})
"""


def test_a_full_disk_leaves_nothing_half_written(path):
    content = write_ledger(path)
    done = subprocess.run([sys.executable, "-c", APPEND_WITH_LIMIT, path], capture_output=True, text=True, check=True)
    assert "nothing of it was kept" in done.stdout
    assert path.read_bytes().startswith(content)
    assert [line.body["note"] for line in list(read_lines(path))[2:]] == [BODIES[2]["note"], "fits"]


def append_many(path: Path, name: str, count: int) -> None:
    ledger = Ledger(path)
    for index in range(count):
        ledger.append("trial", {"candidate": f"{name}{index}", "context": "x"})


def test_two_processes_append_to_one_chain(path):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=append_many, args=(path, name, 40)) for name in "ab"]
    [writer.start() for writer in writers]
    [writer.join() for writer in writers]
    assert (verify_chain(path).trials, [writer.exitcode for writer in writers]) == (80, [0, 0])


def test_an_open_ledger_takes_in_what_another_process_wrote(path):
    mine, other = Ledger(path), Ledger(path)
    other.append("trial", {"candidate": "theirs", "context": "x"})
    mine.append("trial", {"candidate": "mine", "context": "x"})
    assert len(mine.trials("theirs", "x")) == 1


def test_an_interrupt_between_write_and_index_loses_and_repeats_nothing(path, monkeypatch):
    ledger = Ledger(path)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_take", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ledger.append("study", {"note": "first"})
    ledger.append("study", {"note": "second"})
    assert [line.body["note"] for line in read_lines(path)] == ["first", "second"]


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_ledger_cut_while_in_use_is_an_error(path):
    write_ledger(path)
    ledger = Ledger(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptState, match="cut or replaced"):
        ledger.append("study", {})


def test_a_folder_that_cannot_be_made_is_our_fault_and_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Infrastructure, match="cannot be opened for writing"):
        Ledger(tmp_path / "file" / "ledger.jsonl").append("study", {})


def test_a_whole_ledger_opens_without_a_warning(path):
    write_ledger(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ledger(path)
