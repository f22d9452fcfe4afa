"""Questions to a measurement: can these figures be what they seem?

    slope    the time of more calls minus that of fewer must be the time of the calls between: work moved out of the
             window (done before the command or after the answer) is the same however long the window is
    serial   one call at a time, the next one's inputs not yet written: what was gained by looking ahead is lost
    time     the processor time of the candidate's process: within the cores it was given, and none of it while others
             are timed

An honest kernel may look odd once in a noisy moment: each question is asked again before it refutes.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kernelsearch.sandbox.contest import Contest, TimedBaseline, TimedCandidate

ASKED = 2
PAIRS = 6
STEEPEST_SLOPE = 1.4
SLOPE_SLACK_S = 1e-3
LONGEST_SERIAL = 0.5
SERIAL_SLACK_S = 500e-6
PROCESSOR_SLACK = 1.15
PROCESSOR_SLACK_S = 0.03
OUTSIDE_SHARE, OUTSIDE_SLACK_S = 0.05, 0.03


def check_slope(contest: "Contest") -> str | None:
    """Half of the slots against all of them; with fewer than four slots, all of them against all of them twice."""
    every = contest.indices
    shorter, longer = (every[: len(every) // 2], every) if len(every) >= 4 else (every, every * 2)
    for _ in range(ASKED):
        seconds = {len(shorter): [], len(longer): []}  # type: dict[int, list[float]]
        for _ in range(PAIRS):
            for indices in (shorter, longer):
                contest.refresh(every)
                contest.candidate.load(indices)
                seconds[len(indices)].append(contest.candidate.window() * len(indices))
        short_s, long_s = float(np.median(seconds[len(shorter)])), float(np.median(seconds[len(longer)]))
        explained = STEEPEST_SLOPE * long_s * (1 - len(shorter) / len(longer)) + SLOPE_SLACK_S
        if long_s - short_s <= explained:
            return None
    return "does work outside of its timed window: longer windows cost more than their calls"


def check_serial(contest: "Contest") -> str | None:
    """Single calls against calls in a row, for candidate and baseline alike."""
    for _ in range(ASKED):
        candidate, baseline = _extra_of_single_calls(contest)
        if candidate.extra_s <= baseline.extra_s + max(LONGEST_SERIAL * candidate.in_a_row_s, SERIAL_SLACK_S):
            return None
    return "is fast only when it can see the calls to come"


class _Extra:
    def __init__(self, single_s: float, in_a_row_s: float) -> None:
        self.in_a_row_s = in_a_row_s
        self.extra_s = single_s - in_a_row_s


def _extra_of_single_calls(contest: "Contest") -> tuple[_Extra, _Extra]:
    contenders = (contest.candidate, contest.baseline)
    single, in_a_row = (_medians(contest, contenders, indices) for indices in ([0], contest.indices))
    first, second = (_Extra(a, b) for a, b in zip(single, in_a_row, strict=True))
    return first, second


def _medians(
    contest: "Contest", contenders: "tuple[TimedCandidate, TimedBaseline]", indices: list[int]
) -> tuple[float, ...]:
    for contender in contenders:
        contender.load(indices)
    rows = []
    for _ in range(PAIRS):
        contest.refresh(indices)
        rows.append([contender.window() for contender in contenders])
    return tuple(float(value) for value in np.median(rows, axis=0))


def check_processor_time(contest: "Contest") -> str | None:
    candidate = contest.candidate
    if candidate.inside_s > PROCESSOR_SLACK * candidate.threads * candidate.wall_s + PROCESSOR_SLACK_S:
        return f"uses more processor time than its {candidate.threads} threads have"
    if candidate.outside_s > OUTSIDE_SHARE * candidate.inside_s + OUTSIDE_SLACK_S:
        return "computes while it is not being timed"
    return None
