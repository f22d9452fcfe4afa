from pathlib import Path

import pytest

from nanochat.files import new_folder, write_atomically


def test_a_written_file_leaves_nothing_else_behind(tmp_path: Path):
    write_atomically(tmp_path / "a", b"1")
    write_atomically(tmp_path / "a", b"2")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"2")]


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "whole") as scratch:
        (scratch / "absent").read_text()
    assert not list(tmp_path.iterdir())


def test_of_two_makers_of_a_folder_the_first_wins(tmp_path: Path):
    with new_folder(tmp_path / "f") as scratch:
        (scratch / "late").write_text("x")
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "early").write_text("x")
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["early"]
