"""The timed meeting of one candidate and the baseline on one workload.

Both see the same fresh inputs in the same round, each in a process of its own that is stopped while the other runs.
Every timed output is compared with what the baseline made of the same inputs, one call of a random slot by the full
rule. Then the figures themselves are questioned (integrity.py).
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from kernelsearch.sandbox.baseline import BaselineProcess
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.integrity import Undecided, check_idle, check_processor_time, check_serial, check_slope
from kernelsearch.sandbox.layout import Layout
from kernelsearch.sandbox.processes import waited_seconds
from kernelsearch.sandbox.session import OUTPUT
from kernelsearch.sandbox.stage import Stage
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Measurement, Status
from kernelsearch.spec.target import UNIT_ROUNDOFF
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.allocator import release_freed_memory
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.roofline import Peaks
from kernelsearch.timing.statistics import Samples, noise, speedup_interval
from kernelsearch.verify.case import TORCH_DTYPES, take_rows
from kernelsearch.verify.gates import compare_all
from kernelsearch.verify.oracle import expect
from kernelsearch.verify.run import CandidateFailure

WINDOW_S = 0.02
WINDOW_TIMEOUT_S = 60.0
ECHOES = 15
DISTANCE_FACTOR = 4.0
LARGEST_DISTANCE = 0.02
MANY = 64
IDLE_S = 0.03
LARGEST_ECHO_S = 300e-6
WAKING_S = 1e-3  # threads that were stopped wait 0.5 ms in all to run again, on idle cores too (AMD EPYC, 2026-11-23)
T = TypeVar("T")


class Contest:
    """A stage in shared memory, a candidate's runner on it, and the baseline's process beside it."""

    def __init__(
        self,
        folder: TargetFolder,
        candidate: Candidate,
        workload: Workload,
        opponent: BaselineProcess,
        *,
        cache_dir: Path,
        threads: int,
        rng: np.random.Generator,
    ) -> None:
        self.folder, self.workload, self._rng = folder, workload, rng
        self.entry = folder.target.entry(workload.entry)
        saved = saved_tensors(candidate.source, folder.target, self.entry.name)
        self.stage = Stage(folder, workload, saved, rng)
        release_freed_memory()  # what drawing and verifying left behind
        execution = Execution(
            folder.target,
            candidate,
            workload.dtype,
            region_bytes=self.stage.region_bytes,
            cache_dir=cache_dir,
            threads=threads,
            rng=rng,
        )
        self.stage.attach(execution.session)
        self.candidate = TimedCandidate(self.stage, execution, threads)
        self.baseline = TimedBaseline(self.stage, opponent, execution)

        self.calls, self.indices = 1, [0]

    def close(self) -> None:
        self.baseline.close()
        self.stage.detach()
        self.candidate.execution.session.close()

    def run(self, effort: Effort, peaks: Callable[[bool], Peaks]) -> tuple[Samples, Measurement]:
        """Measures; raises CandidateFailure if a timed output is wrong or a figure cannot be what it seems.

        `peaks(again)` says what the machine can do at best, known or measured anew.
        """
        self.calls = self._choose_calls()
        samples = measure(self.candidate, self.baseline, self.next_round, self._check, effort, self._rng)
        self._check_one_exactly()
        measurement = self._summarise(samples, peaks)
        if not self._can_question_the_figures():
            samples = replace(samples, is_quiet=False)
        return samples, measurement

    def next_round(self, calls: int | None = None) -> None:
        """Other slots with other values for both sides."""
        self.indices = self.stage.draw(self.calls if calls is None else calls)
        self.stage.refresh(self.indices)
        self.baseline.snapshot(self.indices)
        for contender in (self.candidate, self.baseline):
            contender.load(self.indices)

    def _choose_calls(self) -> int:
        """As many calls as fill a window, judging by one call each of candidate and baseline.

        That call is checked by the full rule. How near it comes to the baseline's answers is how near every other must.
        """
        self.calls, seconds = 1, [0.0]
        for _ in range(2):  # the first warms
            self.next_round()
            seconds = [self.candidate.window(), self.baseline.window()]
        self._check_one_exactly()
        unit = UNIT_ROUNDOFF[self.workload.dtype]
        near = {name: DISTANCE_FACTOR * (distance + unit) for name, distance in self.baseline.compare().items()}
        # A few numbers may be near by luck, in this call or another.
        sizes = {name: self.stage.slots[0][name].numel() for name in near}
        self._bounds = {n: min(LARGEST_DISTANCE, near[n]) if sizes[n] >= MANY else LARGEST_DISTANCE for n in near}
        return min(self.stage.most_calls, max(1, round(WINDOW_S / min(seconds))))

    def _check(self) -> None:
        """Every output of the round: as near to the baseline's as the call that was proven, and nowhere else."""
        trespass = self.stage.find_trespass(self.indices)
        if trespass is not None:
            raise self.failure(trespass)
        for name, distance in self.baseline.compare().items():
            if not distance <= self._bounds[name]:  # written this way so that NaN fails
                raise self.failure(f"{name} of a timed call is wrong")

    def _check_one_exactly(self) -> None:
        """One randomly chosen timed call against the oracle, by the full rule."""
        index = int(self._rng.choice(self.indices))
        rows, got = take_rows(self.folder, self.stage.case(index), self.stage.slots[index], self._rng)
        compare_all(self.folder, rows, got, expect(self.folder, rows))

    def _can_question_the_figures(self) -> bool:
        """False if the machine was too busy for it; raises CandidateFailure if they cannot be what they seem."""
        for check in (check_processor_time, check_idle, check_slope, check_serial):
            try:
                wrong = check(self)
            except Undecided:
                return False
            if wrong is not None:
                raise self.failure(wrong)
        return True

    def _summarise(self, samples: Samples, ask_peaks: Callable[[bool], Peaks]) -> Measurement:
        interval = speedup_interval(samples, self._rng)
        w = self.workload
        work = self.entry.work(w.sizes, w.parameters, w.dtype, backward=self.stage.backward)
        candidate_us = 1e6 * float(np.median(samples.candidate))
        peaks = ask_peaks(False)
        if candidate_us < peaks.speed_of_light_us(work):  # the peaks were measured in a bad moment
            peaks = ask_peaks(True)
        if peaks.is_impossible(candidate_us, work):
            raise self.failure("is faster than this machine can compute or move the bytes")
        return Measurement(
            workload=w.name,
            dtype=w.dtype,
            passes="forward+backward" if self.stage.backward else "forward",
            speedup=interval.value,
            low=interval.low,
            high=interval.high,
            candidate_us=candidate_us,
            baseline_us=1e6 * float(np.median(samples.baseline + samples.control)),
            speed_of_light_us=peaks.speed_of_light_us(work),
            noise=noise(samples, self._rng),
            rounds=len(samples.candidate),
            disturbed=samples.disturbed,
            calls=w.calls,
        )

    def failure(self, detail: str) -> CandidateFailure:
        numbers = {**self.workload.sizes, **self.workload.parameters}
        sizes = " ".join(f"{name}={value}" for name, value in numbers.items())
        return CandidateFailure(Status.INTEGRITY, detail, f"{self.entry.name} {self.workload.dtype} {sizes}")


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
