import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelsearch.search import (
    Evolution,
    EvolveProposer,
    FileProposer,
    Proposer,
    RandomProposer,
    SweepProposer,
    Trial,
    templates,
)
from kernelsearch.search.space import Shuffle, Space
from kernelsearch.spec import Candidate, Status
from tests.search.conftest import Judge, hill, make_seed, make_verdict
from tests.search.test_graft import ONE, OTHER, TARGET

TUNABLES = st.dictionaries(
    st.sampled_from(["X", "Y", "Z"]), st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=3
)
GRAFTS = templates(TARGET, [ONE, OTHER])
SPACES = st.lists(TUNABLES, min_size=1, max_size=3)


def drain(proposer: Proposer, judge: Judge, limit: int = 10_000) -> list[Trial]:
    """Every trial of a proposer until it is exhausted."""
    trials: list[Trial] = []
    while len(trials) < limit and (candidate := proposer.ask(trials)) is not None:
        trials.append(Trial(candidate, judge(candidate), proposer.name, False))
        proposer.tell(trials[-1])
    return trials


def every_digest(seeds: list[Candidate]) -> list[str]:
    space = Space(seeds)
    return sorted(space.candidate(space.at(index)).digest for index in range(len(space)))


def random_scores(seed: int) -> Judge:
    rng = random.Random(seed)
    return Judge(lambda candidate: rng.choice([None, rng.uniform(0.5, 2)]))


@pytest.mark.parametrize("kind", [SweepProposer, RandomProposer, EvolveProposer])
@given(tunables=SPACES, seed=st.integers(0, 99))
def test_every_binding_is_proposed_exactly_once(kind, tunables, seed):
    seeds = [make_seed(f"seed{index}", **axes) for index, axes in enumerate(tunables)]
    trials = drain(kind(seeds, seed), random_scores(seed))
    assert sorted(trial.candidate.digest for trial in trials) == every_digest(seeds)


@pytest.mark.parametrize("kind", [SweepProposer, RandomProposer, EvolveProposer])
@given(seed=st.integers(0, 99))
def test_the_same_seed_asks_the_same_questions(kind, seed):
    seeds = [make_seed("a", X=[1, 2, 3], Y=[1, 2])]
    asked = [[t.candidate.digest for t in drain(kind(seeds, seed), Judge(hill))] for _ in range(2)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("kind", [SweepProposer, EvolveProposer])
def test_every_seed_is_asked_first_and_as_given(kind, seeds):
    trials = drain(kind(seeds, 0), Judge(hill), limit=3)
    assert [trial.candidate.digest for trial in trials] == [seed.digest for seed in seeds]


def test_the_sweep_climbs_from_the_best_seed():
    seeds = [make_seed("slow", X=[0, 1]), make_seed("fast", X=[3, 2]), make_seed("middle", X=[1, 2])]
    trials = drain(SweepProposer(seeds, 0), Judge(hill), limit=4)
    assert trials[3].candidate.origin == "fast"


def test_the_sweep_steps_to_the_next_number_whatever_the_order_of_declaration():
    space = Space([make_seed("a", X=[16, 64, 8, 32])])
    found = [space.candidate(point).tunables["X"] for point in space.neighbours(space.starts[0])]
    assert found == [8, 32]


def test_the_sweep_does_not_climb_from_a_rejected_seed():
    seeds = [make_seed("rejected", X=[1, 2, 3]), make_seed("good", X=[3, 2, 1])]
    judge = Judge(lambda candidate: None if candidate.origin == "rejected" else 1.5)
    assert drain(SweepProposer(seeds, 0), judge, limit=3)[2].candidate.origin == "good"


@pytest.mark.parametrize("kind", [SweepProposer, EvolveProposer])
def test_a_search_comes_further_than_random_search_on_a_hill(kind):
    seeds = [make_seed("a", X=list(range(9)), Y=list(range(9)), Z=list(range(9)))]
    best = {
        kind: mean(max(t.score for t in drain(kind(seeds, seed), Judge(hill), limit=40)) for seed in range(20))
        for kind in (kind, RandomProposer)
    }
    assert best[kind] > best[RandomProposer]


def test_one_source_with_two_bindings_is_one_seed_asked_twice():
    seed = make_seed("a", X=[1, 2, 3])
    trials = drain(SweepProposer([seed, seed.bind(X=3)], 0), Judge(hill))
    assert [trial.candidate.tunables["X"] for trial in trials] == [1, 3, 2]


@given(seed=st.integers(0, 99))
def test_evolution_proposes_every_graft_exactly_once(seed):
    trials = drain(EvolveProposer([ONE, OTHER], seed, TARGET), random_scores(seed))
    every = every_digest([template.candidate for template in templates(TARGET, [ONE, OTHER])])
    assert sorted(trial.candidate.digest for trial in trials) == every


def suits(candidate: Candidate) -> float:
    """Best where both functions of `double` come from one source and `copy` from the other, each with STEP = 2."""
    template = next(t for t in GRAFTS if t.candidate.source == candidate.source)
    return (
        1.0
        + sum(part == best for part, best in zip(template.parts, (0, 1, 1), strict=True))
        + sum(value == 2 for value in candidate.tunables.values())
    )


def test_evolution_combines_what_is_good_in_two_sources():
    found = drain(EvolveProposer([ONE, OTHER], 0, TARGET, Evolution(crossover=0.9)), Judge(suits), limit=16)
    assert max(trial.score for trial in found) == 6.0


def test_evolution_learns_nothing_from_a_rejected_seed():
    seeds = [make_seed("rejected", X=[1, 2, 3, 4]), make_seed("good", X=[1, 2, 3, 4])]
    judge = Judge(lambda candidate: None if candidate.origin == "rejected" else 1.5)
    trials = drain(EvolveProposer(seeds, 0), judge, limit=5)
    assert [trial.candidate.origin for trial in trials[2:]] == ["good"] * 3


def test_equal_sources_are_one_seed():
    assert len(Space([make_seed("a", X=[1, 2]), make_seed("a", X=[1, 2])])) == 2


def test_files_are_proposed_once_each_in_order(seeds):
    assert [trial.candidate for trial in drain(FileProposer(seeds), Judge(hill))] == seeds


@given(count=st.integers(0, 200), seed=st.integers(0, 99))
def test_a_shuffle_draws_every_number_once(count, seed):
    shuffle = Shuffle(count, random.Random(seed))
    assert sorted(iter(shuffle.draw, None)) == list(range(count))


def test_a_shuffle_of_a_huge_space_costs_nothing():
    assert 0 <= (Shuffle(10**15, random.Random(0)).draw() or 0) < 10**15


def test_a_passed_candidate_without_timing_scores_as_rejected(seeds):
    assert Trial(seeds[0], make_verdict(seeds[0], None), "file", False).score == float("-inf")


def test_a_rejected_candidate_scores_as_rejected_whatever_its_timing(seeds):
    assert Trial(seeds[0], make_verdict(seeds[0], 9.0, Status.MISMATCH), "file", False).score == float("-inf")
