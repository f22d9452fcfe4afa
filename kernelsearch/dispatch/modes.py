"""Whole training steps in several modes: the same run in each, in turns, so that all see the same machine.

A mode is a contender with a name: eager, with kernels, compiled, compiled with kernels. The first steps of each, in
which graphs are compiled, do not count. Ratios are of the first mode, from chunks of the same steps in the same minute.
Where a ratio has to be known closely, its two modes go on alone.
"""

import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from kernelsearch.dispatch.contender import Contender, Trainer
from kernelsearch.dispatch.result import Track, estimate_speedup, max_loss_gap

CHUNK_STEPS = 2


@dataclass(frozen=True)
class Precision:
    """How closely the ratio of `mode` to the first one is to be known: its interval `half_width` to either side of 1.

    After `seconds` it is left at what is known.
    """

    mode: str
    half_width: float
    seconds: float


@dataclass(frozen=True)
class Mode:
    """What a mode made of its `steps`. `speedup` and `largest_gap` of losses are against the first mode.

    `first_s` is what the uncounted steps took; `step_s` is the median of the others.
    """

    name: str
    step_s: float
    tokens_per_second: float
    first_s: float
    steps: int
    peak_bytes: int
    speedup: float
    low: float
    high: float
    largest_gap: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_modes(
    modes: Mapping[str, Contender],
    *,
    steps: int,
    first_steps: int,
    timeout_s: float,
    on_progress: Callable[[str, int], None] = lambda name, steps: None,
    precision: Precision | None = None,
) -> tuple[Mode, ...]:
    """Run `first_steps` and then `steps` in every mode, and more in two where `precision` asks for it.

    Raises Infrastructure naming a worker that fails.
    """
    order = random.Random(0)
    firsts = {name: Track() for name in modes}
    tracks = {name: Track() for name in modes}
    with ExitStack() as stack:
        trainers = [stack.enter_context(Trainer(name, contender, timeout_s)) for name, contender in modes.items()]
        for trainer in trainers:
            trainer.init()
            firsts[trainer.name].add_chunk(*trainer.step(first_steps))
            on_progress(trainer.name, first_steps)

        def make_round(taking_part: list[Trainer], count: int) -> None:
            for trainer in order.sample(taking_part, len(taking_part)):
                tracks[trainer.name].add_chunk(*trainer.step(count))
                on_progress(trainer.name, first_steps + tracks[trainer.name].steps)

        while (done := tracks[trainers[0].name].steps) < steps:
            make_round(trainers, min(CHUNK_STEPS, steps - done))
        if precision is not None:
            pair = [trainer for trainer in trainers if trainer.name in (trainers[0].name, precision.mode)]
            end = time.monotonic() + precision.seconds
            while time.monotonic() < end and _half_width(tracks, precision) > precision.half_width:
                make_round(pair, 1)  # what varies slowly, such as a neighbour's load, is then the same for both
        peaks = {trainer.name: trainer.peak_bytes() for trainer in trainers}
    baseline = tracks[trainers[0].name]
    return tuple(_mode(name, firsts[name], track, baseline, peaks[name]) for name, track in tracks.items())


def _half_width(tracks: Mapping[str, Track], precision: Precision) -> float:
    """Half of the interval's width, as a share of the ratio."""
    baseline = next(iter(tracks.values()))
    speedup, low, high = estimate_speedup(baseline, tracks[precision.mode], seed=0)
    return math.inf if speedup is None or low is None or high is None else (high - low) / (2 * speedup)


def _mode(name: str, first: Track, track: Track, baseline: Track, peak_bytes: int) -> Mode:
    speedup, low, high = estimate_speedup(_as_long_as(track, baseline), track, seed=0)
    assert speedup is not None and low is not None and high is not None, "the command asks for enough steps"
    return Mode(
        name=name,
        step_s=float(np.median(track.step_seconds)),
        tokens_per_second=track.tokens / track.seconds,
        first_s=first.seconds,
        steps=track.steps,
        peak_bytes=peak_bytes,
        speedup=speedup,
        low=low,
        high=high,
        largest_gap=max_loss_gap(baseline, track),
    )


def _as_long_as(track: Track, baseline: Track) -> Track:
    """The baseline up to where `track` ends."""
    return replace(
        baseline,
        step_seconds=baseline.step_seconds[: track.steps],
        chunk_seconds=baseline.chunk_seconds[: len(track.chunk_seconds)],
    )
