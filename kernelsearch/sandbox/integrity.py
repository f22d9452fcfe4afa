"""Questions to a measurement: can these figures be what they seem?

    slope    the time of more calls minus that of fewer must be the time of the calls between: work moved out of the
             window (done before the command or after the answer) is the same however long the window is
    serial   one call at a time, the next one's inputs not yet written: what was gained by looking ahead is lost (where
             a window is a single call, every window was just that)
    time     the processor time of the candidate's process: within the cores it was given, and none of it while others
             are timed
    idle     left running without a question, it must come to rest: no thread of its own outlives a call

An honest kernel may look odd once in a noisy moment: only windows in which nobody waited for a core count, and each
question is asked again before it refutes. On a machine too busy to answer, nothing is decided (Undecided).
"""

import numpy as np

from kernelsearch.sandbox.contenders import TimedBaseline, TimedCandidate
from kernelsearch.sandbox.contest import Contest
from kernelsearch.timing.clock import LONGEST_WAIT

ASKED = 2
WINDOWS = 6
PATIENCE = 4
STEEPEST_SLOPE = 1.4
SLOPE_SLACK_S = 1e-3
LONGEST_SERIAL = 0.5
SERIAL_SLACK_S = 500e-6
PROCESSOR_SLACK = 1.15
PROCESSOR_SLACK_S = 0.03
OUTSIDE_SHARE, OUTSIDE_SLACK_S = 0.05, 0.03
BUSIEST_IDLE = 0.2


class Undecided(Exception):
    """The machine was too busy for an answer."""


def question_the_figures(contest: Contest) -> bool:
    """False if the machine was too busy for it; raises CandidateFailure if they cannot be what they seem."""
    for check in (check_processor_time, check_idle, check_slope, check_serial):
        try:
            wrong = check(contest)
        except Undecided:
            return False
        if wrong is not None:
            raise contest.failure(wrong)
    return True


def check_slope(contest: Contest) -> str | None:
    """Half of a window's calls against all of them; with fewer than four, all of them against all of them twice."""
    calls = contest.calls
    shorter, longer = (calls // 2, calls) if calls >= 4 else (calls, 2 * calls)
    for _ in range(ASKED):
        short, long = _quiet_medians(contest, [(contest.candidate, shorter), (contest.candidate, longer)])
        if longer * long - shorter * short <= STEEPEST_SLOPE * long * (longer - shorter) + SLOPE_SLACK_S:
            return None
    return "does work outside of its timed window: longer windows cost more than their calls"


def check_serial(contest: Contest) -> str | None:
    """Single calls against calls in a row, for candidate and baseline alike."""
    if contest.calls == 1:
        return None
    pairs = [(side, calls) for side in (contest.candidate, contest.baseline) for calls in (1, contest.calls)]
    for _ in range(ASKED):
        single, in_a_row, their_single, their_in_a_row = _quiet_medians(contest, pairs)
        slack = max(LONGEST_SERIAL * in_a_row, SERIAL_SLACK_S)
        if single - in_a_row <= max(their_single - their_in_a_row, 0.0) + slack:
            return None
    return "is fast only when it can see the calls to come"


def _quiet_medians(contest: Contest, asked: list[tuple[TimedCandidate | TimedBaseline, int]]) -> tuple[float, ...]:
    """Median seconds per call of each (contender, calls), of windows in which nobody waited for a core."""
    taken: list[list[float]] = [[] for _ in asked]
    for _ in range(WINDOWS * PATIENCE):
        for seconds, (contender, calls) in zip(taken, asked, strict=True):
            if len(seconds) < WINDOWS:
                contest.next_round(min(calls, contest.calls))
                contender.load(contest.indices * -(-calls // contest.calls))
                one = contender.window()
                seconds += [one] if contender.waited <= LONGEST_WAIT else []
        if all(len(seconds) == WINDOWS for seconds in taken):
            return tuple(float(np.median(seconds)) for seconds in taken)
    raise Undecided


def check_processor_time(contest: Contest) -> str | None:
    candidate = contest.candidate
    if candidate.inside_s > PROCESSOR_SLACK * candidate.threads * candidate.wall_s + PROCESSOR_SLACK_S:
        return f"uses more processor time than its {candidate.threads} threads have"
    if candidate.outside_s > OUTSIDE_SHARE * candidate.inside_s + OUTSIDE_SLACK_S:
        return "computes while it is not being timed"
    return None


def check_idle(contest: Contest) -> str | None:
    if all(contest.candidate.idle_share() > BUSIEST_IDLE for _ in range(ASKED)):
        return "goes on computing after it has answered"
    return None
