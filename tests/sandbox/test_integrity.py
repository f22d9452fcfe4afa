"""Questions to a measurement, with contenders whose times we set."""

from types import SimpleNamespace

import pytest

from kernelsearch.sandbox.integrity import Undecided, check_idle, check_processor_time, check_serial, check_slope

CALL_S = 1e-3


class Contender:
    """Takes `call_s` a call, plus `single_s` when asked for a single one, minus `stolen_s` a window."""

    def __init__(self, call_s: float = CALL_S, single_s: float = 0.0, stolen_s: float = 0.0) -> None:
        self.call_s, self.single_s, self.stolen_s = call_s, single_s, stolen_s
        self.threads, self.inside_s, self.outside_s, self.wall_s, self.waited = 2, 1.9, 0.0, 1.0, 0.0

        self.idle = 0.0

    def idle_share(self) -> float:
        return self.idle

    def load(self, indices: list[int]) -> None:
        self.count = len(indices)

    def window(self) -> float:
        single_s = self.single_s if self.count == 1 else 0.0
        return max(self.call_s * self.count - self.stolen_s, 0.0) / self.count + single_s


def contest(candidate: Contender, slots: int = 20) -> SimpleNamespace:
    made = SimpleNamespace(candidate=candidate, baseline=Contender(), calls=slots, indices=[])

    def next_round(calls: int) -> None:
        made.indices = list(range(calls))

    made.next_round = next_round
    return made


@pytest.mark.parametrize("slots", [1, 2, 4, 20])
@pytest.mark.parametrize("check", [check_slope, check_serial, check_processor_time, check_idle])
def test_an_honest_contender_is_believed(check, slots):
    assert check(contest(Contender(), slots)) is None


def test_work_moved_out_of_the_window_shows_in_the_slope():
    assert "outside" in check_slope(contest(Contender(stolen_s=8e-3)))


def test_work_done_ahead_shows_in_single_calls():
    assert "calls to come" in check_serial(contest(Contender(single_s=5e-3)))


def test_windows_of_a_single_call_need_no_question_about_single_calls():
    asked = contest(Contender(single_s=5e-3), slots=1)
    asked.next_round = None
    assert check_serial(asked) is None


def test_a_kernel_that_both_sides_find_slow_alone_is_believed():
    slow = contest(Contender(single_s=5e-3))
    slow.baseline.single_s = 5e-3
    assert check_serial(slow) is None


def test_more_processor_time_than_the_threads_have_is_noticed():
    candidate = Contender()
    candidate.inside_s = 3.9
    assert "2 threads" in check_processor_time(contest(candidate))


def test_computing_while_stopped_is_noticed():
    candidate = Contender()
    candidate.outside_s = 0.5
    assert "not being timed" in check_processor_time(contest(candidate))


def test_a_busy_machine_answers_no_question():
    candidate = Contender(stolen_s=8e-3)
    candidate.waited = 0.5
    with pytest.raises(Undecided):
        check_slope(contest(candidate))


def test_a_thread_that_outlives_its_call_is_noticed():
    candidate = Contender()
    candidate.idle = 0.9
    assert "after it has answered" in check_idle(contest(candidate))
