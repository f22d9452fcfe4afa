"""The clock's own test: decisions are counted, kept, and not made twice."""

import json
import os
from contextlib import ExitStack

import numpy as np
import pytest

from kernelsearch.scorecard.clock import Dial, Setting, busy_neighbour, measure_decisions, planted_duel
from kernelsearch.timing.clock import LONGEST_WAIT, Effort

QUICK = Effort(seconds=0.0, minimum_rounds=8, maximum_rounds=8, patience=0.0)


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path / "cache", tmp_path / "clock.jsonl", threads=1, harness="test", effort=QUICK)


def test_an_interrupted_count_goes_on_where_it_stopped(setting):
    first = measure_decisions(Dial(0), 2, setting)
    again = measure_decisions(Dial(0), 3, setting)
    assert (first.decisions, again.decisions) == (2, 3)
    assert len(setting.journal.read_text().splitlines()) == 3


def test_a_line_that_a_killed_writer_left_unfinished_is_cut_off(setting):
    measure_decisions(Dial(0), 1, setting)
    setting.journal.write_text(setting.journal.read_text() + '{"key": "unfin')
    assert measure_decisions(Dial(0), 1, setting).decisions == 1
    assert all(json.loads(line) for line in setting.journal.read_text().splitlines())


def test_other_gains_are_other_counts(setting):
    assert setting.key(Dial(0)) != setting.key(Dial(3)) != setting.key(Dial(3, is_busy=True))


def test_threads_that_wait_for_a_core_are_noticed(setting):
    """As many busy programs as cores, and one more."""
    with ExitStack() as neighbours, planted_duel(0, setting.cache_dir, 1, np.random.default_rng()) as duel:
        for _ in range(len(os.sched_getaffinity(0)) + 1):
            neighbours.enter_context(busy_neighbour())
        duel.refresh()
        waited = [side.window() and side.waited for side in duel.sides for _ in range(5)]
    assert max(waited) > LONGEST_WAIT


def test_a_gain_that_was_not_planted_is_refused():
    with pytest.raises(ValueError, match="gain=2: choose from"):
        Dial(2)
