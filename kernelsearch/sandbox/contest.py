"""The timed meeting of one candidate and the baseline on one workload.

Both see the same fresh inputs in the same round, each in a process of its own that is stopped while the other runs.
Every timed output is compared with what the baseline made of the same inputs, calls of random slots by the full rule:
one before the rounds, one of the last. The rule is applied after the rounds, on all cores, since the float64 oracle of
a large call takes seconds. Whether the figures can be what they seem is asked then, on the same stage (integrity.py).

A first look proves nothing and accepts nobody, so nothing is asked of the oracle in it: a candidate that cheats there
is either refused as slow or has the whole meeting before it. It also comes before the gate on timed shapes: what is
wrong there is called as that gate would call it, and no sign of a call that knows it is timed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

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
from kernelsearch.verify.case import Case, split_rows, take_rows
from kernelsearch.verify.check import Question, compare_side_by_side, status_of_wrong
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
        is_first_look: bool = False,
    ) -> None:
        self.folder, self.workload, self._rng, self._threads = folder, workload, rng, threads
        self._is_first_look, self._questions = is_first_look, list[Question]()
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
        self._ask_one_exactly()
        self._compare_exactly(self._questions)
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

        That call is checked by the full rule, though later. How near it comes to the baseline's answers is how near
        every other must.
        """
        self.calls, seconds = 1, [0.0]
        for _ in range(2):  # the first warms
            self.next_round()
            seconds = [self.candidate.window(), self.baseline.window()]
        self._ask_one_exactly()
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
                status = status_of_wrong(self.entry, name) if self._is_first_look else Status.INTEGRITY
                raise self.failure(f"{name} of a timed call is wrong", status)
        if not self._is_first_look and any(distance > self._bounds[name] for name, distance in distances.items()):
            self._check_all_exactly()
            self._bounds = {n: max(self._bounds[n], DISTANCE_FACTOR * d) for n, d in distances.items()}

    def _check_all_exactly(self) -> None:
        """Every row of every call of this round by the full rule: what is further off than others may still be right.

        One rounding that decides a sign, such as that of a cautious weight decay, moves a whole element.
        """
        parts = (split_rows(self.folder, self.stage.case(i), self.stage.slots[i]) for i in self.indices)
        try:
            self._compare_exactly([Question(rows, got) for part in parts for rows, got in part])
        except CandidateFailure as failure:
            raise self.failure(f"a timed call is wrong: {failure.detail}") from None

    def _ask_one_exactly(self) -> None:
        """Keeps a randomly chosen timed call, or rows of it, to be compared with the oracle by the full rule."""
        if self._is_first_look:
            return
        index = int(self._rng.choice(self.indices))
        rows, got = take_rows(self.folder, self.stage.case(index), self.stage.slots[index], self._rng)
        self._questions.append(Question(_copy_case(rows), _copy(got)))  # the next round overwrites the slot

    def _compare_exactly(self, questions: Sequence[Question]) -> None:
        compare_side_by_side(self.folder, questions, self._threads)

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

    def failure(self, detail: str, status: Status = Status.INTEGRITY) -> CandidateFailure:
        numbers = {**self.workload.sizes, **self.workload.parameters}
        sizes = " ".join(f"{name}={value}" for name, value in numbers.items())
        return CandidateFailure(status, detail, f"{self.entry.name} {self.workload.dtype} {sizes}")


def _copy(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _copy_case(case: Case) -> Case:
    gradients = None if case.output_gradients is None else _copy(case.output_gradients)
    return replace(case, inputs=_copy(case.inputs), output_gradients=gradients)
