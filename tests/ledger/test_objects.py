import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelsearch.errors import CorruptState, UsageError
from kernelsearch.ledger import Ledger, Objects, recheck

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXT)
def test_a_stored_text_is_read_back(text, tmp_path_factory):
    objects = Objects(tmp_path_factory.getbasetemp() / "objects")
    assert objects.get(objects.put(text)) == text


def test_an_altered_text_is_refused(tmp_path):
    objects = Objects(tmp_path)
    name = objects.put("int x;")
    objects.path(name).write_text("int y;")
    with pytest.raises(CorruptState, match="altered"):
        objects.get(name)


def test_storing_again_heals_an_altered_text(tmp_path):
    objects = Objects(tmp_path)
    name = objects.put("int x;")
    objects.path(name).write_text("")
    objects.put("int x;")
    assert objects.get(name) == "int x;"


def test_a_missing_text_is_named(tmp_path):
    with pytest.raises(CorruptState, match="source is lost"):
        Objects(tmp_path).get("ab" * 32)


def test_no_scratch_file_stays(tmp_path):
    name = Objects(tmp_path).put("int x;")
    assert [file.name for file in (tmp_path / name[:2]).iterdir()] == [name]


def test_a_record_is_checked_against_its_ledger(tmp_path):
    mine, theirs = Ledger(tmp_path / "mine"), Ledger(tmp_path / "theirs")
    mine.append("study", {"note": "a"})
    theirs.append("study", {"note": "b"})
    raw = mine.path.read_bytes()
    assert recheck(raw, mine.path).body == {"note": "a"}
    with pytest.raises(UsageError, match="is not in ledger"):
        recheck(raw, theirs.path)
