"""Outputs of timed calls: near to the baseline's, or proven."""

import pytest

from kernelsearch.sandbox.contest import Contest
from kernelsearch.verify.run import CandidateFailure
from tests.sandbox.candidates import HONEST


@pytest.fixture
def contest(judge, candidate, rng):
    made = Contest(
        judge.folder,
        candidate(HONEST),
        judge.workloads[0],
        judge.opponent,
        cache_dir=judge.cache_dir,
        threads=judge.threads,
        rng=rng,
    )
    made.calls = made._choose_calls()
    made.next_round()
    for contender in (made.candidate, made.baseline):
        contender.window()
    made._bounds = dict.fromkeys(made._bounds, -1.0)  # nothing is near enough
    yield made
    made.close()


def test_what_is_further_off_than_others_is_right_if_all_of_it_is_proven(contest):
    contest._check()
    assert all(bound >= 0 for bound in contest._bounds.values())


def test_one_wrong_number_of_one_call_is_found(contest):
    total = contest.stage.slots[contest.indices[-1]]["total"]
    total[len(total) // 2] += 1e-3 * total.norm() / len(total) ** 0.5
    with pytest.raises(CandidateFailure, match="a timed call is wrong"):
        contest._check()


def test_a_call_kept_for_the_oracle_stays_as_it_was_answered(contest):
    contest.candidate.window()
    contest._ask_one_exactly()
    kept = contest._questions[-1].got["total"].clone()
    contest.next_round()
    assert contest._questions[-1].got["total"].equal(kept)


def test_a_kept_call_that_is_wrong_is_found_after_the_rounds(contest):
    total = contest._questions[0].got["total"]
    total[0] += 1e-3 * total.norm()
    with pytest.raises(CandidateFailure, match="total"):
        contest._compare_exactly(contest._questions)


def test_a_first_look_asks_nothing_of_the_oracle(contest):
    contest._is_first_look, contest._questions = True, []
    contest._ask_one_exactly()
    contest._check()
    assert contest._questions == [] and all(bound < 0 for bound in contest._bounds.values())
