"""Interleaved windows: in each round every contender answers fresh inputs, in random order.

A contender is anything that can run a window of calls and say how long one took by this process's clock. The number
of rounds follows from time alone, never from the results seen so far; only a hopeless candidate is cut short.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kernelsearch.timing.statistics import Samples

SETTLE_S = 0.001
HOPELESS_AFTER = 8
HOPELESS_RATIO = 0.8


class Contender(Protocol):
    """Runs one window on the inputs of this round; returns seconds per call."""

    def window(self) -> float: ...


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least `minimum_rounds`, then until `seconds` are used or `maximum_rounds` reached."""

    seconds: float = 1.5
    minimum_rounds: int = 12
    maximum_rounds: int = 40

    def times(self, factor: int) -> "Effort":
        return Effort(self.seconds * factor, self.minimum_rounds * factor, self.maximum_rounds * factor)


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
    rows: list[list[float]] = []
    _one_round(contenders, refresh, check, rng)  # warms caches and thread pools
    started = time.monotonic()
    while len(rows) < effort.maximum_rounds:
        if len(rows) >= effort.minimum_rounds and time.monotonic() - started > effort.seconds:
            break
        rows.append(_one_round(contenders, refresh, check, rng))
        if len(rows) == HOPELESS_AFTER and _is_hopeless(rows):
            break
    columns = tuple(zip(*rows, strict=True))
    return Samples(*columns)


def _one_round(
    contenders: tuple[Contender, ...], refresh: Callable[[], None], check: Callable[[], None], rng: np.random.Generator
) -> list[float]:
    refresh()
    seconds = [0.0] * len(contenders)
    for index in rng.permutation(len(contenders)):
        time.sleep(SETTLE_S)  # a process that was just stopped needs a moment until all of its threads are
        seconds[index] = contenders[index].window()
    check()
    return seconds


def _is_hopeless(rows: list[list[float]]) -> bool:
    candidate, baseline, control = (np.median(column) for column in zip(*rows, strict=True))
    return bool(min(baseline, control) < HOPELESS_RATIO * candidate)
