"""What meetings say together: each outcome, and what one lucky meeting cannot do."""

import pytest

from kernelsearch.compare.decision import Meeting, Outcome, decide
from kernelsearch.compare.meeting import repeat_until_clear


def meeting(ratio: float, width: float = 0.005, noise: float = 0.004, is_quiet: bool = True) -> Meeting:
    return Meeting(ratio, ratio - width, ratio + width, noise, 20, 100.0, 100.0 * ratio, is_quiet)


@pytest.mark.parametrize(
    ("ratios", "outcome", "sentence"),
    [
        ((1.05, 1.052), Outcome.SLOWER, "slower by 4.5-5.7%"),
        ((1.018, 1.019), Outcome.SLIGHTLY_SLOWER, "slower by 1.3-2.4%, within the tolerance of 2.5%"),
        ((1.0, 1.002), Outcome.EQUAL, "equal within 0.7%"),
        ((0.95, 0.952), Outcome.FASTER, "faster by 4.5-5.8%"),
        ((0.97, 1.0), Outcome.NOT_SLOWER, "not slower: between 3.6% faster and 0.5% slower"),
        ((1.0, 1.05), Outcome.NOISY, "too noisy to tell: between 0.5% faster and 5.5% slower, in 2 meetings"),
    ],
)
def test_two_meetings_have_to_agree(ratios, outcome, sentence):
    decision = decide([meeting(ratio) for ratio in ratios], 0.025)
    assert (decision.outcome, decision.sentence) == (outcome, sentence)


def test_one_meeting_decides_nothing():
    assert decide([meeting(1.2)], 0.025).outcome is Outcome.NOISY


def test_a_gain_within_the_noise_of_the_control_is_not_called_faster():
    assert decide([meeting(0.97, noise=0.04)] * 2, 0.025).outcome is Outcome.NOT_SLOWER


def test_a_single_meeting_that_strays_is_outvoted():
    assert repeat_until_clear(iter_of(1.0, 1.06, 1.001), 0.025, 5).outcome is Outcome.EQUAL


def test_meetings_beside_other_programs_do_not_count():
    decision = decide([meeting(1.3, is_quiet=False)] * 5, 0.025)
    assert (decision.outcome, decision.ratio) == (Outcome.NOISY, None)
    assert "in each of 5 meetings" in decision.sentence


def test_repeating_ends_at_the_bound():
    assert len(repeat_until_clear(iter_of(*[1.025] * 5), 0.025, 4).meetings) == 4


def test_what_is_clear_is_not_repeated():
    assert len(repeat_until_clear(iter_of(1.0, 1.0), 0.025, 5).meetings) == 2


def iter_of(*ratios: float):
    found = iter(ratios)
    return lambda number: meeting(next(found))
