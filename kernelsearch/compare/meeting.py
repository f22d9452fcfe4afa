"""Meetings of two kernels, repeated until they are clear or there were enough of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernelsearch.compare.decision import LEAST_MEETINGS, Decision, Meeting, Outcome, decide
from kernelsearch.compare.duel import Duel
from kernelsearch.spec import Candidate, TargetFolder, Workload
from kernelsearch.timing.clock import Effort
from kernelsearch.timing.statistics import noise, speedup_interval

EFFORT = Effort(seconds=1.2, minimum_rounds=12, maximum_rounds=40, patience=2.0, close_calls=1)
MORE = 2
"""Meetings beyond the first two last so many times as long."""


@dataclass(frozen=True)
class Gate:
    """How much is measured, and what counts as slower: `most_meetings` bounds the repeating."""

    tolerance: float
    most_meetings: int
    cache_dir: Path
    threads: int
    effort: Effort = EFFORT


def compare_kernels(
    folder: TargetFolder,
    workload: Workload,
    base: Candidate,
    head: Candidate,
    gate: Gate,
    on_meeting: Callable[[Meeting], None] = lambda meeting: None,
) -> Decision:
    """Whether `head` is slower than `base` on one workload."""

    def meet(number: int) -> Meeting:
        meeting = hold_meeting(folder, workload, base, head, gate, number)
        on_meeting(meeting)
        return meeting

    return repeat_until_clear(meet, gate.tolerance, gate.most_meetings)


def repeat_until_clear(meet: Callable[[int], Meeting], tolerance: float, most_meetings: int) -> Decision:
    """At least two quiet meetings, then more while they leave it open, at most `most_meetings`."""
    meetings: list[Meeting] = []
    while True:
        meetings.append(meet(len(meetings)))
        decision = decide(meetings, tolerance)
        if decision.outcome is not Outcome.NOISY or len(meetings) >= most_meetings:
            return decision


def hold_meeting(
    folder: TargetFolder, workload: Workload, base: Candidate, head: Candidate, gate: Gate, number: int
) -> Meeting:
    """One meeting in fresh processes; in every second one the roles are exchanged."""
    rng = np.random.default_rng()
    is_exchanged = number % 2 == 1
    sides = (base, head) if is_exchanged else (head, base)
    effort = gate.effort if number < LEAST_MEETINGS else gate.effort.times(MORE)
    with Duel(folder, workload, sides, cache_dir=gate.cache_dir, threads=gate.threads, rng=rng) as duel:
        samples = duel.measure(effort)
        distance = duel.distance
    speedup = speedup_interval(samples, rng)
    first_us, second_us = (1e6 * float(np.median(s)) for s in (samples.candidate, samples.baseline + samples.control))
    # The first side's speed-up is old time over new where it is the new kernel.
    ratio, low, high = (speedup.value, speedup.low, speedup.high)
    if not is_exchanged:
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return Meeting(
        ratio,
        low,
        high,
        noise=noise(samples, rng),
        rounds=len(samples.candidate),
        base_us=first_us if is_exchanged else second_us,
        head_us=second_us if is_exchanged else first_us,
        is_quiet=samples.is_quiet,
        distance=distance,
    )
