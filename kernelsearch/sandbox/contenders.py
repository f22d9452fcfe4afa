"""The two sides of a timed meeting: windows of the candidate's process, and of the baseline's.

Whoever is not being timed is stopped. What an empty command costs is subtracted from both, and what training pays to
allocate outputs is added to the candidate, which writes into prepared buffers.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from kernelsearch.sandbox.baseline import BaselineProcess
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.layout import Layout
from kernelsearch.sandbox.processes import Spread, waited_seconds
from kernelsearch.sandbox.protection import cores
from kernelsearch.sandbox.session import OUTPUT
from kernelsearch.sandbox.stage import Stage
from kernelsearch.verify.case import TORCH_DTYPES

WINDOW_TIMEOUT_S = 60.0
ECHOES = 15
IDLE_S = 0.03
LARGEST_ECHO_S = 300e-6
WAKING_S = 1e-3  # threads that were stopped wait 0.5 ms in all to run again, on idle cores too (AMD EPYC, 2026-11-23)
T = TypeVar("T")


class TimedCandidate:
    """Windows of the candidate: resume its process, command it, stop it again. Allocation is charged to it.

    What an empty command costs is measured before any code of the candidate runs, and subtracted.
    """

    def __init__(self, stage: Stage, execution: Execution, threads: int) -> None:
        self.execution, self.threads = execution, threads
        self._stage, self._session = stage, execution.session
        self._binding = execution.bindings[stage.entry.name]
        self._indices: list[int] = []
        self._session.load([], WINDOW_TIMEOUT_S)
        self._echo_s = _echo_seconds(lambda: self._session.go(WINDOW_TIMEOUT_S))
        self._session.freeze()
        self._spread = Spread(self._session.pid, sorted(cores(threads)))
        self._allocation_s = _allocation_seconds(stage.layouts[0])
        self.inside_s = self.wall_s = self.waited = 0.0
        self._started_s = self._session.cpu_seconds()

    def load(self, indices: list[int]) -> None:
        """Makes calls of these slots the next window's work; a slot may stand in it twice."""
        self._indices = indices

    def window(self) -> float:
        """Seconds per call: all forward calls, then, once their gradients are revealed, the backward calls."""
        if self._stage.is_revealed:
            self._stage.hide(self._indices)
        self.waited = 0.0
        seconds = self._phase(backward=False)
        if self._stage.backward:
            self._stage.reveal(self._indices)
            seconds += self._phase(backward=True)
        return seconds / len(self._indices) + self._allocation_s

    def _phase(self, *, backward: bool) -> float:
        w = self._stage.workload
        order = reversed(self._indices) if backward else self._indices
        calls = [self._binding.call(self._stage.layouts[i], w.sizes, w.parameters, backward=backward) for i in order]
        self._asked(lambda: self._session.load(calls, WINDOW_TIMEOUT_S))
        seconds, waited = self._asked(lambda: self._session.go(WINDOW_TIMEOUT_S))
        self.waited = max(self.waited, waited)
        return max(seconds - self._echo_s, 0.0)

    def _asked(self, ask: Callable[[], T]) -> tuple[T, float]:
        """Lets the process run for one command, keeps account of its time; also what share of it was waiting."""
        before, started = self._session.cpu_seconds(), time.perf_counter()
        self._spread.refresh()
        waited_s = waited_seconds(self._session.pid)
        self._session.thaw()
        answer = ask()
        self._session.freeze()
        wall_s = time.perf_counter() - started
        self.inside_s += self._session.cpu_seconds() - before
        self.wall_s += wall_s
        return answer, _share(waited_seconds(self._session.pid) - waited_s, wall_s)

    def idle_share(self) -> float:
        """Cores in use when there is nothing to do; threads of the OpenMP runtime may spin for a moment before."""
        self._session.thaw()
        time.sleep(IDLE_S)
        before, started = self._session.cpu_seconds(), time.perf_counter()
        time.sleep(IDLE_S)
        share = (self._session.cpu_seconds() - before) / (time.perf_counter() - started)
        self._session.freeze()
        return share

    @property
    def outside_s(self) -> float:
        """Processor seconds that the candidate's process used when it was stopped."""
        return self._session.cpu_seconds() - self._started_s - self.inside_s


class TimedBaseline:
    """Windows of the baseline on views of the same inputs."""

    def __init__(self, stage: Stage, process: BaselineProcess, execution: Execution) -> None:
        self._stage, self._process = stage, process
        self._process.thaw()
        self._process.open(stage.folder, stage.workload, stage.layouts, execution.session)
        self._process.prepare([])
        self._echo_s = _echo_seconds(lambda: self._process.run(backward=False))
        self._process.freeze()
        self._indices: list[int] = []
        self.waited = 0.0

    def close(self) -> None:
        self._process.thaw()
        self._process.release()

    def load(self, indices: list[int]) -> None:
        self._indices = indices

    def snapshot(self, indices: list[int]) -> None:
        """Keeps what the candidate is going to update in place."""
        self._process.thaw()
        self._process.snapshot(indices)
        self._process.freeze()

    def window(self) -> float:
        """Seconds per call, as the candidate's windows are counted."""
        if not self._stage.is_revealed:
            self._stage.reveal(self._indices)
        self._process.thaw()
        self._process.prepare(self._indices)
        waited_s = waited_seconds(self._process.pid)
        phases = [
            self._process.run(backward=backward) for backward in ((False, True) if self._stage.backward else (False,))
        ]
        self.waited = _share(waited_seconds(self._process.pid) - waited_s, sum(phases))
        self._process.freeze()
        return sum(max(seconds - self._echo_s, 0.0) for seconds in phases) / len(self._indices)

    def compare(self) -> dict[str, float]:
        """By output, how far the candidate's of the same slots are from the last window's."""
        self._process.thaw()
        found = self._process.compare()
        self._process.freeze()
        return found


def _share(waited_s: float, wall_s: float) -> float:
    return max(waited_s - WAKING_S, 0.0) / wall_s


def _echo_seconds(ask: Callable[[], float]) -> float:
    """Median time of a command that does nothing."""
    return min(float(np.median([ask() for _ in range(ECHOES)])), LARGEST_ECHO_S)


def _allocation_seconds(layout: Layout) -> float:
    """What training pays to allocate the outputs of one call; the runner writes into prepared buffers instead."""
    wanted = [(p.shape, TORCH_DTYPES[p.dtype]) for p in layout.places.values() if p.kind == OUTPUT]
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        kept = [torch.empty(shape, dtype=dtype) for shape, dtype in wanted]
        taken.append(time.perf_counter() - started)
        del kept
    return float(np.median(taken))
