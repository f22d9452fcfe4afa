"""Where a search starts, and who searches."""

from pathlib import Path

import pytest

from kernelsearch.cli.optimize import starting_candidates
from kernelsearch.cli.proposers import idea_first, make_searches
from kernelsearch.errors import UsageError
from kernelsearch.spec import Idea, find_target, library_path

ACCEPTED = library_path() / "mix_norm" / "accepted" / "cpu-cpp-float32"
FOLDER = find_target("mix_norm", library_path())
IDEA = Idea("a text of some length", "mix_norm")
SEEDS = list(FOLDER.seeds("cpp"))


def test_a_search_starts_from_the_seeds_then_from_what_is_given(tmp_path):
    file = tmp_path / "mine.cpp"
    file.write_text("// mine")
    assert [c.origin for c in starting_candidates(FOLDER, "cpp", (file,))] == [*SEEDS, "mine"]


def test_an_accepted_kernel_is_given_with_its_tunables_bound():
    given = starting_candidates(FOLDER, "cpp", (ACCEPTED,))[-1]
    assert f'"digest": "{given.digest}"' in (ACCEPTED / "provenance.json").read_text()


def test_an_accepted_kernel_of_another_target_is_refused():
    with pytest.raises(UsageError, match="for target 'mix_norm'"):
        starting_candidates(find_target("adamw_step", library_path()), "cpp", (ACCEPTED,))


def test_a_file_of_another_language_is_refused():
    with pytest.raises(UsageError, match="accepted kernel's folder"):
        starting_candidates(FOLDER, "cpp", (Path("mine.py"),))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("surrogate", ["surrogate", "random"]),
        ("evolve", ["evolve", "random"]),
        ("sweep", ["sweep", "random"]),
        ("random", ["random"]),
    ],
)
def test_random_search_runs_beside_every_proposer(name, wanted):
    seeds = starting_candidates(FOLDER, "cpp", ())
    assert [proposer.name for proposer in make_searches(name, FOLDER.target, seeds, 0)] == wanted


def test_random_search_has_the_same_space_as_evolution():
    proposers = make_searches("evolve", FOLDER.target, starting_candidates(FOLDER, "cpp", ()), 0)
    assert len({proposer.describe()["bindings"] for proposer in proposers}) == 1


def test_what_carries_out_an_idea_is_judged_before_anything_else(tmp_path):
    file = tmp_path / "mine.cpp"
    file.write_text("// mine")
    given = starting_candidates(FOLDER, "cpp", (file,))[-1:]
    first, *others = idea_first(make_searches("sweep", FOLDER.target, given, 0), given, IDEA)
    assert (first.ask([]).origin, [p.name for p in others]) == ("mine", ["sweep", "random"])
