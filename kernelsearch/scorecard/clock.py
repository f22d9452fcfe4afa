"""What the clock gets wrong: identical kernels called faster, and true gains not seen.

Both sides are runners of the same source, windows, freezing and decision being those of a verdict. With a planted gain
the candidate's binding sweeps its rows that much less often and differs in nothing else.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernelsearch.sandbox.contest import WINDOW_S, TimedCandidate
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.stage import Stage
from kernelsearch.spec import Candidate, TargetFolder, read_candidate
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.statistics import is_faster, noise, weighted_speedup

PLANTED = Path(__file__).parent / "planted"
WORK = {0: 1000, 1: 990, 3: 970, 5: 952}
"""Sweeps by the gain in percent that they are against 1000."""


@dataclass(frozen=True)
class Decisions:
    """`called_faster` of `decisions`; the true gain in percent; ratios at 5, 50 and 95%."""

    gain: int
    is_busy: bool
    decisions: int
    called_faster: int
    ratios: tuple[float, float, float]
    seconds: float

    @property
    def share(self) -> float:
        return self.called_faster / self.decisions

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Duel:
    """Two runners of the planted kernel with inputs alike."""

    def __init__(self, gain: int, cache_dir: Path, threads: int, rng: np.random.Generator) -> None:
        self._rng = rng
        folder = TargetFolder(PLANTED)
        source = read_candidate("planted", "cpp", (PLANTED / "kernel.cpp").read_text(), "scorecard")
        self._stages: list[Stage] = []
        self._sides: list[TimedCandidate] = []
        for candidate in (source.bind(WORK=WORK[gain]), source.bind(WORK=WORK[0])):
            self._add_side(folder, candidate, cache_dir, threads)
        self._use([0])
        one = min(self._round())
        self._use(list(range(min(len(self._stages[0].layouts), max(1, round(WINDOW_S / one))))))

    def close(self) -> None:
        for stage, side in zip(self._stages, self._sides, strict=True):
            stage.detach()
            side.execution.session.close()

    def decide(self, effort: Effort) -> tuple[bool, float]:
        """Whether a verdict would call the first side faster, and the median ratio it saw."""
        samples = measure(self._sides[0], self._sides[1], self._refresh, lambda: None, effort, self._rng)
        interval = weighted_speedup([samples], [1.0], [1.0], self._rng)
        won = is_faster(interval, [samples], noise(samples, self._rng))
        return won, float(np.exp(np.median(samples.log_ratios())))

    def _add_side(self, folder: TargetFolder, candidate: Candidate, cache_dir: Path, threads: int) -> None:
        (workload,) = folder.workloads(None, "float32")
        stage = Stage(folder, workload, (), self._rng)
        execution = Execution(
            folder.target,
            candidate,
            "float32",
            region_bytes=stage.region_bytes,
            cache_dir=cache_dir,
            threads=threads,
            rng=self._rng,
        )
        stage.attach(execution.session)
        self._stages.append(stage)
        self._sides.append(TimedCandidate(stage, execution, threads))

    def _use(self, indices: list[int]) -> None:
        self._indices = indices
        for side in self._sides:
            side.load(indices)

    def _refresh(self) -> None:
        for stage in self._stages:
            stage.refresh(self._indices)

    def _round(self) -> list[float]:
        self._refresh()
        return [side.window() for side in self._sides]


def measure_decisions(
    gain: int,
    decisions: int,
    *,
    is_busy: bool,
    cache_dir: Path,
    threads: int,
    effort: Effort,
    on_decision: Callable[[int, int], None] = lambda done, won: None,
) -> Decisions:
    """Repeats the decision of a verdict between two runners of the same source; every tenth with new processes."""
    if gain not in WORK:
        raise ValueError(f"gain={gain}: choose from {sorted(WORK)} percent")
    rng = np.random.default_rng()
    ratios: list[float] = []
    won, started = 0, time.monotonic()
    with _neighbour() if is_busy else _nobody():
        while len(ratios) < decisions:
            duel = Duel(gain, cache_dir, threads, rng)
            try:
                for _ in range(min(10, decisions - len(ratios))):
                    is_win, ratio = duel.decide(effort)
                    won += is_win
                    ratios.append(ratio)
                    on_decision(len(ratios), won)
            finally:
                duel.close()
    low, middle, high = (float(q) for q in np.quantile(ratios, (0.05, 0.5, 0.95)))
    return Decisions(gain, is_busy, decisions, won, (low, middle, high), time.monotonic() - started)


@contextmanager
def _neighbour() -> Iterator[None]:
    """Another program that keeps one core busy."""
    busy = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@contextmanager
def _nobody() -> Iterator[None]:
    yield
