"""Interleaved windows: in each round every contender answers fresh inputs, in random order.

A contender is anything that can run a window of calls and say how long one took by this process's clock. The number
of rounds follows from time alone, with two exceptions fixed beforehand: a hopeless candidate is cut short, and a close
call gets four times as many rounds, whichever way it then falls. Nobody is accepted on the strength of an early look.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from kernelsearch.timing.statistics import Samples

SETTLE_S = 0.001
# Beside a busy program on two cores, identical kernels were called up to 8x faster: which of their processes got a core
# to itself was luck that lasted (AMD EPYC, 2026-11-23).
LONGEST_WAIT = 0.05
HOPELESS_AFTER = 8
HOPELESS_RATIO = 0.8
CLOSE = (1.005, 1.08)


class Contender(Protocol):
    """Runs one window on the inputs of this round; returns seconds per call.

    `waited` is the share of the last window that its threads spent ready to run without a core: others' work.
    """

    waited: float

    def window(self) -> float: ...


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least `minimum_rounds`, then until `seconds` are used or `maximum_rounds` reached.

    Only quiet rounds count, in which nobody waited for a core. On a busy machine it is tried `patience` times as long.
    Where candidate and baseline are so close that this says little (CLOSE), it goes on to `close_calls` times as much.
    """

    seconds: float = 1.5
    minimum_rounds: int = 12
    maximum_rounds: int = 40
    patience: float = 2.0
    close_calls: int = 4

    def times(self, factor: int) -> "Effort":
        return replace(
            self,
            seconds=self.seconds * factor,
            minimum_rounds=self.minimum_rounds * factor,
            maximum_rounds=self.maximum_rounds * factor,
        )


def measure(
    candidate: Contender,
    baseline: Contender,
    refresh: Callable[[], None],
    check: Callable[[], None],
    effort: Effort,
    rng: np.random.Generator,
) -> Samples:
    """Paired samples. `refresh` draws new inputs before a round, `check` looks at every output after it."""
    contenders = (candidate, baseline, baseline)
    quiet: list[list[float]] = []
    disturbed: list[list[float]] = []
    _one_round(contenders, refresh, check, rng)  # warms caches and thread pools
    started, is_extended = time.monotonic(), False
    while True:
        elapsed = time.monotonic() - started
        if len(quiet) >= effort.maximum_rounds or (len(quiet) >= effort.minimum_rounds and elapsed > effort.seconds):
            if is_extended or not _is_close(quiet):
                break
            effort, is_extended = effort.times(effort.close_calls), True
            continue
        if len(disturbed) >= effort.minimum_rounds and elapsed > effort.seconds * effort.patience:
            break
        row, waited = _one_round(contenders, refresh, check, rng)
        (quiet if waited <= LONGEST_WAIT else disturbed).append(row)
        if len(quiet) == HOPELESS_AFTER and _is_hopeless(quiet):
            break
    is_quiet = len(quiet) >= min(HOPELESS_AFTER, effort.minimum_rounds)
    own, theirs, control = zip(*(quiet if is_quiet else quiet + disturbed), strict=True)
    return Samples(own, theirs, control, disturbed=len(disturbed) / (len(quiet) + len(disturbed)), is_quiet=is_quiet)


def _one_round(
    contenders: tuple[Contender, ...], refresh: Callable[[], None], check: Callable[[], None], rng: np.random.Generator
) -> tuple[list[float], float]:
    """Seconds per call of each, and the longest share that one of them had to wait."""
    refresh()
    seconds, waited = [0.0] * len(contenders), 0.0
    for index in rng.permutation(len(contenders)):
        time.sleep(SETTLE_S)  # a process that was just stopped needs a moment until all of its threads are
        seconds[index] = contenders[index].window()
        waited = max(waited, contenders[index].waited)
    check()
    return seconds, waited


def _is_close(rows: list[list[float]]) -> bool:
    candidate, baseline, control = np.asarray(rows).T
    ratio = float(np.median(np.sqrt(baseline * control) / candidate))
    return CLOSE[0] < ratio < CLOSE[1]


def _is_hopeless(rows: list[list[float]]) -> bool:
    candidate, baseline, control = (np.median(column) for column in zip(*rows, strict=True))
    return bool(min(baseline, control) < HOPELESS_RATIO * candidate)
