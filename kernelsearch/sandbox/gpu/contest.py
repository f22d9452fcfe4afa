"""A timed meeting on the device, in the rounds of timing/clock.py: candidate, baseline, and the baseline again (A/A).

Every round has fresh inputs and a random order; outputs of both sides are compared after it, and one call of the
candidate's, drawn afterwards, is judged by the full rule in this process. The figures are questioned: the host's clock
must not say less than the device's events, and nothing may be faster than the peaks measured here allow.
"""

import numpy as np

from kernelsearch.sandbox.gpu.peaks import GpuPeaks, least_us
from kernelsearch.sandbox.gpu.run import GpuRun
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Measurement, Status
from kernelsearch.spec.target import UNIT_ROUNDOFF
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.statistics import Samples, noise, speedup_interval
from kernelsearch.verify.case import Case, make_timed_case, take_rows
from kernelsearch.verify.gates import compare_all
from kernelsearch.verify.oracle import expect
from kernelsearch.verify.run import CandidateFailure

LARGEST_DISTANCE = 0.02
DISTANCE_FACTOR = 8.0
CLOCK_SLACK_S = 20e-6
SLOPES, SLOPE_FACTOR, SLOPE_SLACK_S = 5, 1.5, 300e-6


def are_slopes_alike(seconds: float, host_s: float) -> bool:
    """Whether what more windows take by the device's events accounts for what they take by the host's clock."""
    return host_s <= SLOPE_FACTOR * seconds + SLOPE_SLACK_S


class Side:
    """A contender of timing/clock.py: windows of one side by the device's events."""

    def __init__(self, run: GpuRun, side: str) -> None:
        self._run, self._side = run, side
        self.waited = 0.0

    def window(self) -> float:
        answer, _ = self._run.session.ask("window", {"side": self._side})
        seconds, host_s = float(answer["seconds"]), float(answer["host_s"])
        if seconds > host_s + CLOCK_SLACK_S:
            raise CandidateFailure(
                Status.INTEGRITY, f"the device's clock says {seconds} s a call, the host's {host_s} s"
            )
        return seconds


class GpuContest:
    """One workload of one loaded candidate."""

    def __init__(self, folder: TargetFolder, workload: Workload, run: GpuRun, rng: np.random.Generator) -> None:
        self._folder, self._workload, self._run, self._rng = folder, workload, run, rng
        self._entry = folder.target.entry(workload.entry)
        self._case = make_timed_case(folder, workload, rng)
        self._bound: dict[str, float] = {}
        setting = run.stage_setting(self._entry)
        tensors = dict(self._case.inputs) | dict(self._case.output_gradients or {})
        self.staged, _ = run.session.ask(
            "stage", {"folder": str(folder.path), "workload": workload.as_json(), **setting}, tensors
        )

    def measure(self, effort: Effort, peaks: GpuPeaks) -> tuple[Samples, Measurement]:
        candidate, baseline = Side(self._run, "candidate"), Side(self._run, "baseline")
        samples = measure(candidate, baseline, self._refresh, self._check, effort, self._rng)
        self._check_one_exactly()
        self._check_slope()
        return samples, self._summarise(samples, peaks)

    def _refresh(self) -> None:
        self._run.session.ask("refresh", {"seed": int(self._rng.integers(2**31))})

    def _check(self) -> None:
        """The first round's answers are judged exactly; how far they were from the baseline's bounds all others."""
        distances, _ = self._run.session.ask("compare")
        if not self._bound:
            self._check_one_exactly()
            unit = UNIT_ROUNDOFF[self._workload.dtype]
            self._bound = {n: max(LARGEST_DISTANCE, DISTANCE_FACTOR * (d + unit)) for n, d in distances.items()}
        for name, distance in distances.items():
            if not distance <= self._bound[name]:  # written this way so that NaN fails
                self._check_one_exactly()
                raise CandidateFailure(Status.INTEGRITY, f"{name} of a timed call is wrong")

    def _check_one_exactly(self) -> None:
        index = int(self._rng.integers(int(self.staged["sets"])))
        _, tensors = self._run.session.ask("fetch", {"index": index})
        got = {n.removeprefix("result "): t for n, t in tensors.items() if n.startswith("result ")}
        inputs = {t.name: tensors[t.name] for t in self._entry.inputs}
        gradients = (
            {t.name: tensors[t.name] for t in self._entry.output_gradients()} if self._entry.has_backward else None
        )
        rows, got = take_rows(self._folder, Case(self._workload, "timed", inputs, gradients), got, self._rng)
        compare_all(self._folder, rows, got, expect(self._folder, rows))

    def _check_slope(self) -> None:
        """Work that the events do not see, on another stream or behind them, still takes the host's time."""
        answers = [self._run.session.ask("slope", {"side": "candidate"})[0] for _ in range(SLOPES)]
        seconds, host_s = (float(np.median([a[name] for a in answers])) for name in ("seconds", "host_s"))
        if not are_slopes_alike(seconds, host_s):
            said = f"{1e6 * seconds:.0f} us by the device's events, {1e6 * host_s:.0f} us by the host"
            detail = f"more windows in a row take {said}"
            raise CandidateFailure(Status.INTEGRITY, detail)

    def _summarise(self, samples: Samples, peaks: GpuPeaks) -> Measurement:
        interval = speedup_interval(samples, self._rng)
        w, backward = self._workload, self._entry.has_backward
        work = self._entry.work(w.sizes, w.parameters, w.dtype, backward=backward)
        candidate_us = 1e6 * float(np.median(samples.candidate))
        possible_us = least_us(peaks, self._entry, w, int(self._run.session.device["cache_bytes"]))
        if candidate_us < possible_us:
            detail = f"{w.name} in {candidate_us:.1f} us is faster than this device can: {possible_us:.1f} us"
            raise CandidateFailure(Status.INTEGRITY, detail)
        return Measurement(
            workload=w.name,
            dtype=w.dtype,
            passes="forward+backward" if backward else "forward",
            speedup=interval.value,
            low=interval.low,
            high=interval.high,
            candidate_us=candidate_us,
            baseline_us=1e6 * float(np.median(samples.baseline + samples.control)),
            speed_of_light_us=peaks.speed_of_light_us(work),
            noise=noise(samples, self._rng),
            rounds=len(samples.candidate),
            calls=w.calls,
        )
