"""Commits, folders and files as sides, and which kernels of them meet."""

from pathlib import Path

import pytest

from kernelsearch.compare.pairs import Change, pair_up
from kernelsearch.compare.sides import Place, commits_touching, read_side
from kernelsearch.errors import UsageError
from kernelsearch.spec import library_path
from tests.compare.conftest import SOURCE


@pytest.fixture
def place(repository, tmp_path) -> Place:
    return Place(repository.path, "kernels", library_path(), tmp_path / "scratch", None, "float32")


def changes(place: Place, base: str, head: str | None = None) -> dict[str, Change]:
    pairs = pair_up(read_side(base, place), read_side(head, place), ())
    return {pair.kernel.name: pair.change for pair in pairs}


def test_only_what_changed_between_two_commits_is_timed(repository, place):
    repository.accept(SOURCE, "cpu-cpp-float32-wide")
    first = repository.commit("two kernels")
    repository.accept(SOURCE + "// slower", "cpu-cpp-float32-wide")
    second = repository.commit("one of them changed")
    assert changes(place, first, second) == {"cpu-cpp-float32": Change.SAME, "cpu-cpp-float32-wide": Change.SOURCE}


def test_the_working_tree_is_the_default_new_side(repository, place):
    repository.commit("as it was")
    repository.accept(SOURCE + "// edited")
    assert changes(place, "HEAD") == {"cpu-cpp-float32": Change.SOURCE}


def test_a_changed_contract_is_seen_though_the_source_is_the_same(repository, place):
    repository.commit("as it was")
    contract = repository.path / "kernels" / "row_sum" / "reference.py"
    contract.write_text(contract.read_text() + "# more exact\n")
    assert changes(place, "HEAD") == {"cpu-cpp-float32": Change.CONTRACT}


def test_a_new_and_a_removed_kernel_have_nothing_to_meet(repository, place):
    repository.accept(SOURCE, "cpu-cpp-float32-wide")
    repository.accept(SOURCE, "cpu-cpp-float32-old")
    repository.commit("as it was")
    (repository.path / "kernels" / "row_sum" / "accepted" / "cpu-cpp-float32-old" / "provenance.json").unlink()
    repository.accept(SOURCE, "cpu-cpp-float32-new")
    found = changes(place, "HEAD")
    assert (found["cpu-cpp-float32-old"], found["cpu-cpp-float32-new"]) == (Change.REMOVED, Change.ADDED)


def test_two_folders_of_one_kernel_meet_whatever_their_names(repository, place):
    other = repository.accept(SOURCE + "// other", "cpu-cpp-float32-other")
    assert changes(place, str(other.with_name("cpu-cpp-float32")), str(other)) == {
        "cpu-cpp-float32-other": Change.SOURCE
    }


def test_an_edit_that_the_provenance_does_not_record_is_noticed(repository, place):
    (repository.path / "kernels/row_sum/accepted/cpu-cpp-float32/kernel.cpp").write_text(SOURCE + "// by hand")
    ((_, kernel),) = read_side(None, place).kernels.items()
    assert not kernel.is_recorded


@pytest.mark.parametrize(
    ("base", "named"), [("nowhere", "'nowhere' is neither a path nor a commit"), ("x.cpp", "say by --target")]
)
def test_what_cannot_be_a_side_is_named(repository, place, base, named):
    repository.commit("as it was")
    (repository.path / "x.cpp").write_text(SOURCE)
    with pytest.raises(UsageError, match=named):
        read_side(base, place)


def test_a_commit_without_kernels_is_refused(repository, place):
    repository.commit("as it was")
    with pytest.raises(UsageError, match="has no folder 'nothing'"):
        read_side("HEAD", Place(place.repository, "nothing", place.library, place.scratch, None, "float32"))


def test_commits_that_left_the_target_alone_are_left_out(repository):
    good = repository.commit("good")
    repository.accept(SOURCE + "// 1")
    touched = repository.commit("touched")
    Path(repository.path / "README").write_text("x")
    bad = repository.commit("something else")
    assert commits_touching(repository.path, "kernels/row_sum", good, bad) == [(touched, "touched")]
