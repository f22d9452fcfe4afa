"""Training steps of several modes side by side, with a worker that does not train."""

import pytest

from kernelsearch.dispatch.modes import Precision, measure_modes
from kernelsearch.errors import Infrastructure
from tests.dispatch.test_race import children, contender


def measure(precision=None, **modes):
    return measure_modes(modes, steps=21, first_steps=3, timeout_s=10, precision=precision)


def test_modes_are_compared_with_the_first():
    eager, kernels = measure(eager=contender(factor=2.0), kernels=contender(shift=0.001))
    assert (eager.speedup, eager.largest_gap) == (1.0, 0.0)
    assert kernels.speedup == pytest.approx(2.0) and kernels.low <= 2.0 <= kernels.high
    assert kernels.largest_gap == pytest.approx(0.001) and kernels.peak_bytes == 3 << 20


def test_the_first_steps_do_not_count():
    (mode,) = measure(eager=contender(factor=1.0))
    steps = [0.001 * (1 + 0.01 * (number % 3)) for number in range(1, 25)]
    assert mode.first_s == pytest.approx(sum(steps[:3]))
    assert mode.tokens_per_second == pytest.approx(210 / sum(steps[3:]))


def test_a_worker_that_fails_is_named_and_none_is_left():
    with pytest.raises(Infrastructure, match="kernels worker"):
        measure(eager=contender(), kernels=contender(fail={"at": "step", "how": "crash"}))
    assert children() == []


def test_two_modes_go_on_alone_until_their_ratio_is_known_closely_enough():
    sides = {name: contender(factor=factor) for name, factor in (("a", 1.0), ("b", 2.0), ("c", 1.5))}
    closely = measure(Precision("c", half_width=-1.0, seconds=0.2), **sides)
    loosely = measure(Precision("c", half_width=1.0, seconds=60.0), **sides)
    assert [mode.steps for mode in loosely] == [21, 21, 21]
    assert closely[0].steps == closely[2].steps > 21 and closely[1].steps == 21
    assert closely[1].speedup == pytest.approx(0.5) and closely[2].speedup == pytest.approx(2 / 3, rel=0.01)
