"""The clock with contenders whose speed we set."""

import time

import numpy as np

from kernelsearch.timing.clock import Effort, measure


class Sleeper:
    def __init__(self, seconds: float, waited: float = 0.0) -> None:
        self.seconds, self.waited = seconds, waited
        self.windows = 0

    def window(self) -> float:
        self.windows += 1
        started = time.perf_counter()
        time.sleep(self.seconds)
        return time.perf_counter() - started


def run(candidate: Sleeper, baseline: Sleeper, effort: Effort, log: list[str]):
    rng = np.random.default_rng(0)
    return measure(candidate, baseline, lambda: log.append("refresh"), lambda: log.append("check"), effort, rng)


def test_every_round_draws_inputs_and_checks_outputs():
    log: list[str] = []
    samples = run(Sleeper(0.001), Sleeper(0.001), Effort(0.0, 5, 9), log)
    assert log == ["refresh", "check"] * (1 + len(samples.candidate))


def test_the_number_of_rounds_follows_from_time_alone():
    samples = run(
        Sleeper(0.001), Sleeper(0.001), Effort(seconds=0.0, minimum_rounds=6, maximum_rounds=40, close_calls=1), []
    )
    assert len(samples.candidate) == 6


def test_the_baseline_is_measured_twice_a_round():
    candidate, baseline = Sleeper(0.001), Sleeper(0.001)
    run(candidate, baseline, Effort(0.0, 5, 5), [])
    assert baseline.windows == 2 * candidate.windows


def test_a_hopeless_candidate_is_cut_short():
    samples = run(Sleeper(0.004), Sleeper(0.001), Effort(seconds=9.0, minimum_rounds=30, maximum_rounds=40), [])
    assert len(samples.candidate) == 8


def test_rounds_in_which_somebody_waited_for_a_core_do_not_count():
    patient = Effort(seconds=0.0, minimum_rounds=8, maximum_rounds=8)
    samples = run(Sleeper(0.001), Sleeper(0.001, waited=0.5), patient, [])
    assert not samples.is_quiet
    assert samples.disturbed == 1.0


def test_a_close_call_gets_more_rounds():
    effort = Effort(seconds=0.0, minimum_rounds=5, maximum_rounds=5, close_calls=3)
    assert len(run(Sleeper(0.0100), Sleeper(0.0104), effort, []).candidate) == 15
    assert len(run(Sleeper(0.005), Sleeper(0.010), effort, []).candidate) == 5
