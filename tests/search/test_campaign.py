"""Where a campaign goes, when it leaves, and what it remembers."""

from dataclasses import replace

import pytest

from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger
from kernelsearch.search import Standing, Trial, Visit, Visited, Work, choose_finalists, run_campaign
from kernelsearch.search.standing import FAILURES, follow, in_use, is_to_be_left, least_of_use
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


def keep_best(standing, finalists):
    return {"low": finalists[0].score}


def campaign(
    tmp_path, visit, *, settle=keep_best, spans=None, standings=(BIG, SMALL), budget_s=100.0, clock=None, toy=1
):
    ledger, work = Ledger(tmp_path / "ledger.jsonl"), Work(visit, settle, spans or {})
    return run_campaign(standings, work, ledger, settings={"toy": toy}, budget_s=budget_s, clock=clock or Clock())


def came_to(*trials: Trial, is_exhausted: bool = False, is_interrupted: bool = False) -> Visited:
    return Visited(trials, is_exhausted, is_interrupted, choose_finalists(trials, ()))


def exhaust(visit: Visit) -> Visited:
    return came_to(trial(2.0), is_exhausted=True)


def test_the_target_that_takes_most_of_the_step_comes_first(tmp_path):
    seen = []
    campaign(tmp_path, lambda visit: seen.append(visit.standing.target) or exhaust(visit), standings=(SMALL, BIG))
    assert seen == ["big", "small"]


def test_a_target_near_the_speed_of_light_comes_last():
    assert Standing("near", eager_us=1000.0, light_us=990.0).rate < SMALL.rate


def test_trials_without_improvement_lower_what_the_next_is_worth():
    improved = BIG.after(trial(2.0))
    assert improved.rate > improved.after(trial(1.9)).rate > improved.after(trial(1.9)).after(trial(1.5)).rate > 0


def test_a_target_is_left_once_another_is_worth_half_as_much_again():
    rival = SMALL.rate
    lows = [2.0] + [1.9] * 200
    left_at = next(n for n in range(1, 200) if is_to_be_left(follow(BIG, [trial(low) for low in lows[:n]]), rival))
    now = follow(BIG, [trial(low) for low in lows[:left_at]])
    assert 2 < left_at < 200 and 0.6 * rival < now.rate < rival / 1.5


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


def test_time_to_judge_the_winners_again_is_held_back(tmp_path):
    clock, left = Clock(), []

    def visit(visit: Visit) -> Visited:
        clock.now += 30
        left.append(visit.seconds)
        return came_to(trial(1.5, seconds=20.0))

    campaign(tmp_path, visit, standings=(BIG,), clock=clock)
    assert left == [100.0, 100.0 - 30.0 - 1.6 * 20.0, 100.0 - 60.0 - 1.6 * 20.0]


def test_every_target_is_visited_once_before_any_is_refined(tmp_path):
    clock, seen = Clock(), []

    def visit(visit: Visit) -> Visited:
        clock.now += 10
        seen.append((visit.standing.target, visit.is_enough(())))
        return came_to(trial(1.1))

    campaign(tmp_path, visit, budget_s=70.0, clock=clock)
    assert seen[:3] == [("big", True), ("small", True), ("big", False)]


def test_winners_are_settled_at_the_end_the_one_that_saves_most_first(tmp_path):
    settled = []
    campaign(tmp_path, exhaust, settle=lambda s, f: settled.append(s.target), standings=(SMALL, BIG))
    assert settled == ["big", "small"]


def test_of_a_span_and_its_part_the_one_that_saves_more_is_settled(tmp_path):
    lows = {"big": 1.05, "small": 5.0}
    result = campaign(
        tmp_path, lambda v: came_to(trial(lows[v.standing.target]), is_exhausted=True), spans={"big": ("small",)}
    )
    assert list(result.kept) == ["small"]


def test_a_span_that_is_refused_gives_way_to_its_parts(tmp_path):
    def settle(standing, finalists):
        return None if standing.target == "big" else keep_best(standing, finalists)

    result = campaign(tmp_path, exhaust, settle=settle, spans={"big": ("small",)})
    assert (result.kept["big"], result.kept["small"]) == (None, {"low": 2.0})


def test_a_span_is_visited_after_its_parts_and_must_save_more_than_they_do(tmp_path):
    seen = []
    campaign(tmp_path, lambda v: seen.append((v.standing.target, v.least)) or exhaust(v), spans={"big": ("small",)})
    assert seen == [("small", None), ("big", pytest.approx(1000 / 950))]


def test_a_span_and_its_parts_do_not_both_count():
    parts, span = replace(SMALL, best=2.0), replace(BIG, best=1.04)
    assert in_use((span, parts), {"big": ("small",)}) == (parts,)
    assert in_use((replace(span, best=1.2), parts), {"big": ("small",)}) == (replace(span, best=1.2),)
    assert least_of_use(parts, {"small": parts}, {"big": ("small",)}) is None


def test_the_best_seed_as_given_is_a_finalist_however_many_were_better():
    trials = [trial(1.0 + x / 10, x=x) for x in range(6)]
    given = {trials[1].candidate.digest}
    chosen = choose_finalists(trials, given)
    assert [(f.trial, f.is_given) for f in chosen] == [(6, False), (5, False), (2, True)]


def test_an_interrupted_campaign_goes_on_with_what_it_knew(tmp_path):
    def interrupt(visit: Visit) -> Visited:
        if visit.standing.target == "big":
            return exhaust(visit)
        return came_to(trial(1.5), is_interrupted=True)

    first = campaign(tmp_path, interrupt)
    seen = []
    second = campaign(tmp_path, lambda visit: seen.append(visit.standing) or exhaust(visit))
    assert (first.reason, second.is_resumed, second.campaign) == ("interrupted", True, first.campaign)
    assert ([s.target for s in seen], seen[0].best, set(second.kept)) == (["small"], 1.5, {"big", "small"})


def test_a_campaign_interrupted_while_it_settles_goes_on_settling(tmp_path):
    def interrupt(standing, finalists):
        if standing.target == "small":
            raise KeyboardInterrupt
        return keep_best(standing, finalists)

    seen = []
    first = campaign(tmp_path, exhaust, settle=interrupt)
    second = campaign(tmp_path, lambda v: seen.append(v) or exhaust(v), settle=lambda s, f: {"again": s.target})
    assert (first.reason, second.reason, seen) == ("interrupted", "exhausted", [])
    assert second.kept == {"big": {"low": 2.0}, "small": {"again": "small"}}


def test_a_campaign_that_ended_is_not_gone_on_with(tmp_path):
    campaign(tmp_path, exhaust)
    assert not campaign(tmp_path, exhaust).is_resumed


def test_other_settings_make_another_campaign(tmp_path):
    campaign(tmp_path, lambda visit: came_to(is_interrupted=True))
    assert not campaign(tmp_path, exhaust, toy=2).is_resumed


def test_time_of_a_visit_that_was_cut_off_is_the_time_of_its_trials(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def die(visit: Visit) -> Visited:
        body = {"candidate": "c", "context": "d", "verdict": {"seconds": 40.0}}
        ledger.append("trial", body)
        raise SystemExit

    with pytest.raises(SystemExit):
        campaign(tmp_path, die, standings=(BIG,), budget_s=50.0)
    left = []
    campaign(tmp_path, lambda v: left.append(v.seconds) or exhaust(v), standings=(BIG,), budget_s=50.0)
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


def test_a_full_disk_stops_a_campaign_that_then_goes_on(tmp_path, monkeypatch):
    def full(ledger, kind, body):
        raise Infrastructure("the disk is full")

    def fill(visit: Visit) -> Visited:
        monkeypatch.setattr(Ledger, "append", full)
        return exhaust(visit)

    with pytest.raises(Infrastructure, match="full"):
        campaign(tmp_path, fill)
    monkeypatch.undo()
    assert campaign(tmp_path, exhaust).is_resumed
