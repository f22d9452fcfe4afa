"""Decisions on made-up samples: what must win, what must not."""

import numpy as np
import pytest

from kernelsearch.timing.statistics import Samples, is_faster, noise, sign_test, speedup_interval, weighted_speedup


def samples(rng: np.random.Generator, speedup: float, spread: float = 0.02, rounds: int = 20) -> Samples:
    weather = np.exp(rng.normal(0, 0.2, rounds))  # what the machine does to all windows of a round alike
    draw = lambda level: tuple(level * weather * np.exp(rng.normal(0, spread, rounds)))  # noqa: E731
    return Samples(candidate=draw(1.0 / speedup), baseline=draw(1.0), control=draw(1.0))


def decide(drawn: Samples, rng: np.random.Generator) -> bool:
    interval = weighted_speedup([drawn], [1.0], [1.0], rng)
    return is_faster(interval, [drawn], noise(drawn, rng))


def test_identical_programs_never_win_in_a_thousand_decisions():
    rng = np.random.default_rng(1)
    assert sum(decide(samples(rng, 1.0), rng) for _ in range(1000)) == 0


@pytest.mark.parametrize("spread", [0.002, 0.05, 0.3])
def test_identical_programs_do_not_win_at_any_noise(spread):
    rng = np.random.default_rng(2)
    assert sum(decide(samples(rng, 1.0, spread), rng) for _ in range(200)) == 0


def test_a_true_gain_of_a_tenth_is_seen_on_a_calm_machine():
    rng = np.random.default_rng(3)
    assert sum(decide(samples(rng, 1.1), rng) for _ in range(200)) >= 198


def test_a_gain_below_one_percent_does_not_count():
    rng = np.random.default_rng(4)
    assert not decide(samples(rng, 1.005, spread=1e-4), rng)


def test_the_interval_holds_the_true_ratio_nineteen_times_of_twenty():
    rng = np.random.default_rng(5)
    intervals = [speedup_interval(samples(rng, 1.5), rng) for _ in range(300)]
    assert sum(i.low <= 1.5 <= i.high for i in intervals) >= 270


def test_a_kernel_that_hurts_one_workload_is_not_accepted():
    rng = np.random.default_rng(6)
    good, bad = samples(rng, 3.0), samples(rng, 0.9)
    interval = weighted_speedup([good, bad], [1.0, 1.0], [1.0, 1.0], rng)
    assert interval.low > 1.2
    assert not is_faster(interval, [good, bad], 0.01)


def test_workloads_weigh_by_calls_and_baseline_time():
    rng = np.random.default_rng(7)
    fast, same = samples(rng, 2.0, 1e-6), samples(rng, 1.0, 1e-6)
    assert weighted_speedup([fast, same], [1.0, 3.0], [1.0, 1.0], rng).value == pytest.approx(4 / 3.5, rel=1e-3)


def test_sign_test_counts_the_tail():
    assert sign_test(20, 20) == pytest.approx(2.0**-20)
    assert sign_test(0, 20) == 1.0
