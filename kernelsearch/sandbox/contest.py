"""The timed meeting of one candidate and the baseline on one workload.

Both see the same fresh inputs in the same round, each in a process of its own that is stopped while the other runs.
Every timed output is compared with what the baseline made of the same inputs, one call of a random slot by the full
rule. Whether the figures can be what they seem is asked afterwards, on the same stage (integrity.py).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kernelsearch.sandbox.baseline import BaselineProcess
from kernelsearch.sandbox.contenders import TimedBaseline, TimedCandidate
from kernelsearch.sandbox.execution import Execution
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
from kernelsearch.verify.case import split_rows, take_rows
from kernelsearch.verify.gates import compare_all
from kernelsearch.verify.oracle import expect
from kernelsearch.verify.run import CandidateFailure

WINDOW_S = 0.02
DISTANCE_FACTOR = 4.0
LARGEST_DISTANCE = 0.02
MANY = 64


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
        saved = saved_tensors(candidate.declared, folder.target, self.entry.name)
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
        """Measures; raises CandidateFailure if a timed output is wrong, or right faster than the machine could be.

        `peaks(again)` says what the machine can do at best, known or measured anew.
        """
        self.calls = self._choose_calls()
        samples = measure(self.candidate, self.baseline, self.next_round, self._check, effort, self._rng)
        self._check_one_exactly()
        return samples, self._summarise(samples, peaks)

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
        """Every output of the round: as near to the baseline's as a call that was proven, or proven itself."""
        trespass = self.stage.find_trespass(self.indices)
        if trespass is not None:
            raise self.failure(trespass)
        distances = self.baseline.compare()
        for name, distance in distances.items():
            if not distance <= LARGEST_DISTANCE:  # written this way so that NaN fails
                raise self.failure(f"{name} of a timed call is wrong")
        if any(distance > self._bounds[name] for name, distance in distances.items()):
            self._check_all_exactly()
            self._bounds = {n: max(self._bounds[n], DISTANCE_FACTOR * d) for n, d in distances.items()}

    def _check_all_exactly(self) -> None:
        """Every row of every call of this round by the full rule: what is further off than others may still be right.

        One rounding that decides a sign, such as that of a cautious weight decay, moves a whole element.
        """
        for index in self.indices:
            for rows, got in split_rows(self.folder, self.stage.case(index), self.stage.slots[index]):
                try:
                    compare_all(self.folder, rows, got, expect(self.folder, rows))
                except CandidateFailure as failure:
                    raise self.failure(f"a timed call is wrong: {failure.detail}") from None

    def _check_one_exactly(self) -> None:
        """One randomly chosen timed call against the oracle, by the full rule."""
        index = int(self._rng.choice(self.indices))
        rows, got = take_rows(self.folder, self.stage.case(index), self.stage.slots[index], self._rng)
        compare_all(self.folder, rows, got, expect(self.folder, rows))

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
