"""The timed meeting of one candidate and the baseline on one workload.

Both see the same fresh inputs in the same round: every slot holds another draw, rolled by a new random number of rows
before each round. The candidate's process is stopped whenever it is not being timed. Every timed output is compared
with what the baseline made of the same inputs.
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kernelsearch.build import cpp
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.layout import Layout, lay_out, view
from kernelsearch.sandbox.session import INPUT, OUTPUT
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Measurement, Status
from kernelsearch.spec.target import UNIT_ROUNDOFF, TensorSpec
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.allocator import release_freed_memory
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.roofline import Peaks, measured_peaks
from kernelsearch.timing.statistics import Samples, noise, speedup_interval
from kernelsearch.verify.case import TORCH_DTYPES, Case, make_timed_case, take_rows
from kernelsearch.verify.gates import compare_all
from kernelsearch.verify.oracle import contract_baseline, expect
from kernelsearch.verify.run import CandidateFailure

WINDOW_S = 0.02
MAXIMUM_SLOTS = 24
REGION_BYTES = 64 << 20
WINDOW_TIMEOUT_S = 60.0
NORM_SLACK = 64.0
CHECK_ELEMENTS = 2**20
BASE_CASES = 2
LARGE_BYTES = 32 << 20


class Contest:
    """Slots of shared memory, a candidate that fills them, a baseline that answers the same questions."""

    def __init__(
        self,
        folder: TargetFolder,
        candidate: Candidate,
        workload: Workload,
        *,
        cache_dir: Path,
        threads: int,
        rng: np.random.Generator,
    ) -> None:
        self.folder, self.workload, self._rng, self._cache_dir = folder, workload, rng, cache_dir
        self.entry = folder.target.entry(workload.entry)
        self.backward = self.entry.has_backward
        saved = saved_tensors(candidate.source, folder.target, self.entry.name)
        self._layouts = self._lay_out_slots(saved)
        used = max(max(layout.used.values()) for layout in self._layouts)
        self._execution = Execution(
            folder.target,
            candidate,
            workload.dtype,
            region_bytes=(used // 4096 + 2) * 4096,
            cache_dir=cache_dir,
            threads=threads,
            rng=rng,
        )
        is_large = used > LARGE_BYTES
        self._bases = [make_timed_case(folder, workload, rng) for _ in range(1 if is_large else BASE_CASES)]
        release_freed_memory()  # what drawing and verifying left behind
        self._baseline = contract_baseline(folder, self.entry)
        self._slots: list[dict[str, Tensor]] = []
        self._answers: list[dict[str, Tensor]] = []

    def close(self) -> None:
        self._slots.clear()
        self._answers.clear()
        self._execution.session.close()

    def run(self, effort: Effort, peaks: Peaks) -> tuple[Samples, Measurement]:
        """Measures; raises CandidateFailure if a timed output is wrong or faster than the machine can be."""
        self._choose_slots()
        candidate, baseline = _Candidate(self), _Baseline(self)
        samples = measure(candidate, baseline, self._refresh, self._check_all, effort, self._rng)
        self._check_one_exactly()
        return samples, self._summarise(samples, peaks)

    def _lay_out_slots(self, saved: tuple[TensorSpec, ...]) -> list[Layout]:
        layouts: list[Layout] = []
        after = {INPUT: 0, OUTPUT: 0}
        while len(layouts) < MAXIMUM_SLOTS:
            layout = lay_out(
                self.entry, saved, self.workload.sizes, self.workload.dtype, backward=self.backward, after=after
            )
            if len(layouts) >= 1 and max(layout.used.values()) > REGION_BYTES:
                break
            layouts.append(layout)
            after = layout.used
        return layouts

    def _choose_slots(self) -> None:
        """As many slots as fill a window, judging by one call each of candidate and baseline."""
        self._use(1)
        self._refresh()
        _Candidate(self).window()
        _Baseline(self).window()
        one = min(_Candidate(self).window(), _Baseline(self).window())
        self._use(min(len(self._layouts), max(1, round(WINDOW_S / one))))

    def _use(self, count: int) -> None:
        session, binding = self._execution.session, self._execution.bindings[self.entry.name]
        self._used = self._layouts[:count]
        calls = []
        for layout in self._used:
            calls += binding.calls(layout, self.workload.sizes, self.workload.parameters, backward=self.backward)
        session.thaw()
        session.load(calls, WINDOW_TIMEOUT_S)
        session.freeze()
        self._slots = [
            {
                name: view(memoryview(session.inputs if place.kind == INPUT else session.outputs), place)
                for name, place in layout.places.items()
            }
            for layout in self._used
        ]
        self._state = [{n: torch.empty_like(slot[n]) for n in self.entry.updates} for slot in self._slots]

    def _refresh(self) -> None:
        for index, slot in enumerate(self._slots):
            base = self._bases[index % len(self._bases)]
            fraction = float(self._rng.random())
            values = {**base.inputs, **((base.output_gradients or {}) if self.backward else {})}
            for name, tensor in values.items():
                _roll_into(slot[name], tensor, fraction)
            for name in self.entry.updates:
                self._state[index][name].copy_(slot[name])
        self._initial = [{n: t.clone() for n, t in state.items()} for state in self._state]

    def _leaves(self, index: int) -> dict[str, Tensor]:
        slot = self._slots[index]
        leaves = {t.name: slot[t.name] for t in self.entry.inputs} | self._state[index]
        return {n: t.detach().requires_grad_(n in self.entry.gradients) for n, t in leaves.items()}

    def answer(self, leaves: dict[str, Tensor], slot: dict[str, Tensor]) -> dict[str, Tensor]:
        """One baseline call, forward and where it exists backward, as training makes it."""
        outputs = self._baseline(leaves, dict(self.workload.parameters))
        if not self.backward:
            return outputs
        names = [t.name for t in self.entry.outputs]
        wanted = [leaves[n] for n in self.entry.gradients]
        found = torch.autograd.grad([outputs[n] for n in names], wanted, [slot[f"d{n}"] for n in names])
        return outputs | {f"d{n}": g for n, g in zip(self.entry.gradients, found, strict=True)}

    def _check_all(self) -> None:
        """Every output of the round against the baseline's, by norm: stale, skipped or cheaper work shows."""
        unit = UNIT_ROUNDOFF[self.workload.dtype] + self.folder.target.accumulator[self.workload.dtype]
        terms = getattr(self.folder.module("reference"), f"{self.entry.name}_terms")
        lengths = terms(dict(self.workload.sizes), dict(self.workload.parameters))
        for slot, answers in zip(self._slots, self._answers, strict=True):
            for name, answer in answers.items():
                bound = NORM_SLACK * unit * max(1.0, lengths[name]) ** 0.5
                gap, norm = _gap_and_norm(slot[name], answer.detach())
                # not (gap <= bound): written this way so that NaN fails.
                if not gap <= bound * norm + 1e-30:
                    raise self._failure(Status.INTEGRITY, f"{name} of a timed call is wrong")

    def _check_one_exactly(self) -> None:
        """One randomly chosen timed call against the oracle, by the full rule."""
        index = int(self._rng.integers(len(self._slots)))
        slot = self._slots[index]
        inputs = {t.name: slot[t.name] for t in self.entry.inputs} | self._initial[index]
        gradients = {f"d{t.name}": slot[f"d{t.name}"] for t in self.entry.outputs} if self.backward else None
        case = Case(self.workload, "timed", inputs, gradients)
        rows, got = take_rows(self.folder, case, slot, self._rng)
        compare_all(self.folder, rows, got, expect(self.folder, rows))

    def _summarise(self, samples: Samples, peaks: Peaks) -> Measurement:
        interval = speedup_interval(samples, self._rng)
        work = self.entry.work(
            self.workload.sizes, self.workload.parameters, self.workload.dtype, backward=self.backward
        )
        candidate_us = 1e6 * float(np.median(samples.candidate))
        if candidate_us < peaks.speed_of_light_us(work):  # the peaks were measured in a bad moment
            peaks = measured_peaks(self._cache_dir, cpp.cpu_identity(), again=True)
        if peaks.is_impossible(candidate_us, work):
            raise self._failure(Status.INTEGRITY, "is faster than this machine can compute or move the bytes")
        return Measurement(
            workload=self.workload.name,
            dtype=self.workload.dtype,
            passes="forward+backward" if self.backward else "forward",
            speedup=interval.value,
            low=interval.low,
            high=interval.high,
            candidate_us=candidate_us,
            baseline_us=1e6 * float(np.median(samples.baseline + samples.control)),
            speed_of_light_us=peaks.speed_of_light_us(work),
            noise=noise(samples, self._rng),
            rounds=len(samples.candidate),
            calls=self.workload.calls,
        )

    def _failure(self, status: Status, detail: str) -> CandidateFailure:
        numbers = {**self.workload.sizes, **self.workload.parameters}
        sizes = " ".join(f"{name}={value}" for name, value in numbers.items())
        return CandidateFailure(status, detail, f"{self.entry.name} {self.workload.dtype} {sizes}")


class _Candidate:
    """A window of the candidate: resume its process, command it, stop it again. Allocation is charged to it."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest
        self._allocation_s = _allocation_seconds(contest._used[0])

    def window(self) -> float:
        session = self._contest._execution.session
        session.thaw()
        seconds = session.go(WINDOW_TIMEOUT_S)
        session.freeze()
        return seconds / len(self._contest._used) + self._allocation_s


class _Baseline:
    """A window of the baseline, in this process, on views of the same inputs."""

    def __init__(self, contest: Contest) -> None:
        self._contest = contest

    def window(self) -> float:
        contest = self._contest
        for state, initial in zip(contest._state, contest._initial, strict=True):
            for name in state:
                state[name].copy_(initial[name])
        work = [(contest._leaves(i), slot) for i, slot in enumerate(contest._slots)]
        contest._answers = []
        started = time.perf_counter()
        contest._answers = [contest.answer(leaves, slot) for leaves, slot in work]
        return (time.perf_counter() - started) / len(work)


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


def _gap_and_norm(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Norms of the difference and of `theirs`, piece by piece: a whole difference would be one tensor more."""
    gap = norm = 0.0
    pieces = (torch.split(x.reshape(-1), CHECK_ELEMENTS) for x in (ours, theirs))
    for a, b in zip(*pieces, strict=True):
        gap += float((a - b).float().square().sum())
        norm += float(b.float().square().sum())
    return gap**0.5, norm**0.5


def _roll_into(sink: Tensor, source: Tensor, fraction: float) -> None:
    """Copies `source` with its rows rolled; tensors with equally many rows stay aligned with each other."""
    if source.dim() == 0 or source.numel() == 0:
        sink.copy_(source)
        return
    width = source.shape[-1] if source.dim() > 1 else 1
    rows, out = source.reshape(-1, width), sink.reshape(-1, width)
    cut = int(fraction * len(rows))
    out[: len(rows) - cut].copy_(rows[cut:])
    out[len(rows) - cut :].copy_(rows[:cut])
