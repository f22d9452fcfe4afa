import pytest

from nanochat.schedule import Horizon, Schedule, plan_horizon

RUN = Schedule(iterations=1000, weight_decay=0.28)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1 / 40), (19, 0.5), (39, 1), (40, 1), (350, 1), (675, 0.5 + 0.5 * 0.05), (1000, 0.05), (2000, 0.05)],
)
def test_learning_rate_warms_up_holds_and_warms_down(step: int, expected: float):
    assert RUN.lr_multiplier(step) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.85), (200, 0.91), (399, 0.9697), (400, 0.97 - 0.07 * 50 / 650), (1000, 0.90)]
)
def test_momentum_rises_first_and_falls_in_the_warm_down(step: int, expected: float):
    assert RUN.muon_momentum(step) == pytest.approx(expected, abs=1e-4)


def test_momentum_holds_between_rise_and_fall():
    assert Schedule(iterations=10_000).muon_momentum(2000) == 0.97


@pytest.mark.parametrize(("step", "expected"), [(0, 0.28), (500, 0.14), (1000, 0.0), (1500, 0.0)])
def test_weight_decay_is_half_a_cosine(step: int, expected: float):
    assert RUN.muon_weight_decay(step) == pytest.approx(expected, abs=1e-9)


def test_the_reference_depth_gets_the_reference_batch():
    horizon = plan_horizon(110_100_912, 110_100_912)
    assert horizon == Horizon(1_321_210_944, 2**19, 2520, 1.0, pytest.approx(0.28))


def test_a_deeper_model_gets_a_larger_batch_and_less_decay():
    horizon = plan_horizon(393_217_200 + 41_943_040, 110_100_912)
    assert (horizon.batch_tokens, horizon.iterations) == (2**20, 4980)
    assert horizon.lr_scale == pytest.approx(2**0.5) and horizon.weight_decay == pytest.approx(0.1002, abs=1e-4)
