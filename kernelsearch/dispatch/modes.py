"""Whole training steps in several modes: the same run in each, in turns, so that all see the same machine.

A mode is a contender with a name: eager, with kernels, compiled, compiled with kernels. The first steps of each, in
which graphs are compiled, do not count. Ratios are of the first mode, from chunks of the same steps in the same minute.
"""

import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kernelsearch.dispatch.contender import Contender, Trainer
from kernelsearch.dispatch.result import Track, estimate_speedup, max_loss_gap

CHUNK_STEPS = 2


@dataclass(frozen=True)
class Mode:
    """What a mode made of the steps. `speedup` and `largest_gap` of losses are against the first mode.

    `first_s` is what the uncounted steps took; `step_s` is the median of the others.
    """

    name: str
    step_s: float
    tokens_per_second: float
    first_s: float
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
) -> tuple[Mode, ...]:
    """Run `first_steps` and then `steps` in every mode. Raises Infrastructure naming a worker that fails."""
    order = random.Random(0)
    firsts = {name: Track() for name in modes}
    tracks = {name: Track() for name in modes}
    with ExitStack() as stack:
        trainers = [stack.enter_context(Trainer(name, contender, timeout_s)) for name, contender in modes.items()]
        for trainer in trainers:
            trainer.init()
            firsts[trainer.name].add_chunk(*trainer.step(first_steps))
            on_progress(trainer.name, first_steps)
        while (done := tracks[trainers[0].name].steps) < steps:
            for trainer in order.sample(trainers, len(trainers)):
                tracks[trainer.name].add_chunk(*trainer.step(min(CHUNK_STEPS, steps - done)))
                on_progress(trainer.name, first_steps + tracks[trainer.name].steps)
        peaks = {trainer.name: trainer.peak_bytes() for trainer in trainers}
    baseline = tracks[trainers[0].name]
    return tuple(_mode(name, firsts[name], track, baseline, peaks[name]) for name, track in tracks.items())


def _mode(name: str, first: Track, track: Track, baseline: Track, peak_bytes: int) -> Mode:
    speedup, low, high = estimate_speedup(baseline, track, seed=0)
    assert speedup is not None and low is not None and high is not None, "the command asks for enough steps"
    return Mode(
        name=name,
        step_s=float(np.median(track.step_seconds)),
        tokens_per_second=track.tokens / track.seconds,
        first_s=first.seconds,
        peak_bytes=peak_bytes,
        speedup=speedup,
        low=low,
        high=high,
        largest_gap=max_loss_gap(baseline, track),
    )
