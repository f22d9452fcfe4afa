"""Reading a ledger while somebody writes it."""

import pytest

from kernelsearch.errors import CorruptState
from kernelsearch.ledger import Ledger
from kernelsearch.ledger.follow import Follower


def test_lines_are_taken_as_they_come(tmp_path):
    follower, ledger = Follower(tmp_path / "ledger"), Ledger(tmp_path / "ledger")
    assert not follower.advance()
    ledger.append("note", {"n": 1})
    assert follower.advance()
    ledger.append("note", {"n": 2})
    assert follower.advance()
    assert not follower.advance()
    assert [line.body["n"] for line in follower.lines] == [1, 2]


def test_an_unfinished_line_waits_for_its_end_and_is_left_where_it_is(tmp_path):
    path = tmp_path / "ledger"
    Ledger(path).append("note", {"n": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    follower = Follower(path)
    follower.advance()
    assert (follower.lines, path.read_bytes()) == ([], whole[:-5])
    path.write_bytes(whole)
    follower.advance()
    assert len(follower.lines) == 1


def test_a_ledger_that_was_replaced_is_read_from_its_start(tmp_path):
    path, follower = tmp_path / "ledger", Follower(tmp_path / "ledger")
    Ledger(path).append("note", {"n": "a long text before"})
    follower.advance()
    path.unlink()
    Ledger(path).append("note", {"n": 2})
    assert follower.advance()
    assert [line.body["n"] for line in follower.lines] == [2]


def test_an_altered_line_is_refused(tmp_path):
    path = tmp_path / "ledger"
    Ledger(path).append("note", {"n": 1})
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":2'))
    with pytest.raises(CorruptState, match="line 1"):
        Follower(path).advance()
