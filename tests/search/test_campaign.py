"""Where a campaign goes, when it leaves, and what it remembers."""

from dataclasses import replace

import pytest

from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger
from kernelsearch.search import Standing, Trial, Visit, Visited, run_campaign
from kernelsearch.search.standing import FAILURES, follow, is_to_be_left
from tests.search.conftest import make_seed, make_verdict

BIG, SMALL = Standing("big", eager_us=1000.0, light_us=100.0), Standing("small", eager_us=100.0, light_us=10.0)


def trial(low: float, *, x: int = 0, is_cached: bool = False, seconds: float = 10.0) -> Trial:
    candidate = make_seed("a", X=[x])
    return Trial(candidate, replace(make_verdict(candidate, low), seconds=seconds), "evolve", is_cached)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def campaign(tmp_path, visit, *, standings=(BIG, SMALL), budget_s=100.0, clock=None):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    return run_campaign(standings, visit, ledger, settings={"toy": 1}, budget_s=budget_s, clock=clock or Clock())


def exhaust(visit: Visit) -> Visited:
    return Visited((trial(2.0),), is_exhausted=True, is_interrupted=False, kept={"low": 2.0})


def test_the_target_that_takes_most_of_the_step_comes_first(tmp_path):
    seen = []
    campaign(tmp_path, lambda visit: seen.append(visit.standing.target) or exhaust(visit), standings=(SMALL, BIG))
    assert seen == ["big", "small"]


def test_a_target_near_the_speed_of_light_comes_last():
    assert Standing("near", eager_us=1000.0, light_us=990.0).rate < SMALL.rate


def test_trials_without_improvement_lower_what_the_next_is_worth():
    improved = BIG.after(trial(2.0))
    assert improved.rate > improved.after(trial(1.9)).rate > improved.after(trial(1.9)).after(trial(1.5)).rate > 0


def test_a_target_is_left_once_another_is_worth_twice_as_much():
    rival = SMALL.rate
    lows = [2.0] + [1.9] * 200
    left_at = next(n for n in range(1, 200) if is_to_be_left(follow(BIG, [trial(low) for low in lows[:n]]), rival))
    now = follow(BIG, [trial(low) for low in lows[:left_at]])
    assert 2 < left_at < 200 and 0.4 * rival < now.rate < 0.5 * rival


def test_what_the_ledger_answered_cost_nothing_and_still_counts_as_found():
    standing = BIG.after(trial(2.0, is_cached=True))
    assert (standing.best, standing.trials, standing.fruitless, standing.seconds) == (2.0, 0, 0, 0.0)


def test_a_campaign_ends_when_its_budget_is_spent(tmp_path):
    clock = Clock()

    def visit(visit: Visit) -> Visited:
        clock.now += 30
        return Visited((trial(1.5, x=int(clock.now)),), is_exhausted=False, is_interrupted=False)

    result = campaign(tmp_path, visit, clock=clock)
    assert (result.reason, result.seconds) == ("budget", 120.0)


def test_an_interrupted_campaign_goes_on_with_what_it_knew(tmp_path):
    def interrupt(visit: Visit) -> Visited:
        if visit.standing.target == "big":
            return exhaust(visit)
        return Visited((trial(1.5),), is_exhausted=False, is_interrupted=True)

    first = campaign(tmp_path, interrupt)
    seen = []
    second = campaign(tmp_path, lambda visit: seen.append(visit.standing) or exhaust(visit))
    assert (first.reason, second.is_resumed, second.campaign) == ("interrupted", True, first.campaign)
    assert ([s.target for s in seen], seen[0].best, set(second.kept)) == (["small"], 1.5, {"big", "small"})


def test_a_campaign_that_ended_is_not_gone_on_with(tmp_path):
    campaign(tmp_path, exhaust)
    assert not campaign(tmp_path, exhaust).is_resumed


def test_other_settings_make_another_campaign(tmp_path):
    campaign(tmp_path, lambda visit: Visited((), is_exhausted=False, is_interrupted=True))
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert not run_campaign([BIG], exhaust, ledger, settings={"toy": 2}, budget_s=9.0).is_resumed


def test_time_of_a_visit_that_was_cut_off_is_the_time_of_its_trials(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def die(visit: Visit) -> Visited:
        body = {"candidate": "c", "context": "d", "verdict": {"seconds": 40.0}}
        ledger.append("trial", body)
        raise SystemExit

    with pytest.raises(SystemExit):
        run_campaign([BIG], die, ledger, settings={"toy": 1}, budget_s=50.0, clock=Clock())
    left = []
    run_campaign([BIG], lambda v: left.append(v.seconds) or exhaust(v), ledger, settings={"toy": 1}, budget_s=50.0)
    assert left == [10.0]


def test_a_target_that_fails_is_given_up_and_the_others_are_worked_on(tmp_path):
    seen = []

    def fail(visit: Visit) -> Visited:
        seen.append(visit.standing.target)
        if visit.standing.target == "big":
            raise Infrastructure("no compiler")
        return exhaust(visit)

    result = campaign(tmp_path, fail)
    assert (seen.count("big"), result.reason, set(result.kept)) == (FAILURES, "exhausted", {"small"})


def test_a_campaign_that_can_work_on_nothing_says_so(tmp_path):
    def fail(visit: Visit) -> Visited:
        raise Infrastructure("no compiler")

    with pytest.raises(Infrastructure, match="big, small failed"):
        campaign(tmp_path, fail)


def test_a_full_disk_stops_a_campaign_that_then_goes_on(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def fill(visit: Visit) -> Visited:
        ledger.append = full  # type: ignore[method-assign]
        return exhaust(visit)

    def full(kind, body):
        raise Infrastructure("the disk is full")

    with pytest.raises(Infrastructure, match="full"):
        run_campaign([BIG], fill, ledger, settings={"toy": 1}, budget_s=9.0)
    assert campaign(tmp_path, exhaust).is_resumed
