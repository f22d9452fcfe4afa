"""The judge for candidates that run on a GPU: the gates of verify/, the rounds of timing/, a launcher in between.

Answers are compared with the float64 oracle on the CPU, in this process. Every candidate gets a launcher of its own,
and with it a fresh context; before it loads, the device is probed. "cpu" as the place stands in for a GPU in tests:
Triton's interpreter, and nothing is accepted.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.build.resources import MULTIPROCESSORS, busy_share
from kernelsearch.errors import BuildError, ContractError, EnvironmentMissing, Infrastructure
from kernelsearch.sandbox.gpu.contest import GpuContest
from kernelsearch.sandbox.gpu.peaks import best_speedup, calls_library, measured_peaks
from kernelsearch.sandbox.gpu.run import GpuRun
from kernelsearch.sandbox.gpu.session import GpuSession
from kernelsearch.sandbox.judge import FIRST_LOOK, Care
from kernelsearch.sandbox.languages import language_of
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Gate, Measurement, Resources, Status, Verdict
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.clock import Effort
from kernelsearch.timing.statistics import Interval, Samples, is_faster, weighted_speedup
from kernelsearch.verify import gates
from kernelsearch.verify.run import CandidateFailure

SANITIZER = "compute-sanitizer"
SANITIZER_OPTIONS = ("--tool", "memcheck", "--report-api-errors", "no", "--error-exitcode", "86")
SANITIZER_STATUS, SANITIZER_TIMEOUT_S = 86, 300.0
# Gates that share a launcher; where all are left out, none is started for them.
IN_FIRST_LAUNCHER = frozenset(
    ("compile ahead", "roofline", "load", "smoke", "properties", "ladder", "search", "determinism", "timed shapes")
)


@dataclass(frozen=True)
class GpuJudge:
    """Judges candidates of one target in one dtype on the device at `place`; `without` names gates to leave out.

    `baselines_us` remembers, by workload, what the baseline took when it was last timed.
    """

    folder: TargetFolder
    dtype: str
    workloads: tuple[Workload, ...]
    cache_dir: Path
    place: str = "cuda"
    care: Care = field(default_factory=Care)
    without: frozenset[str] = frozenset()
    baselines_us: dict[str, float] = field(default_factory=dict)

    def judge(self, candidate: Candidate, to_beat: float | None = None) -> Verdict:
        return _GpuTrial(self, candidate, self.care, to_beat).run()

    def prove(self, candidate: Candidate) -> Verdict:
        return replace(self, without=self.without | {"timing"}).judge(candidate)

    def confirm(self, candidate: Candidate) -> Verdict:
        return _GpuTrial(self, candidate, self.care.doubled(), None).run()

    def close(self) -> None:
        """Nothing is kept between candidates."""


class _GpuTrial:
    """One verdict in the making."""

    def __init__(self, judge: GpuJudge, candidate: Candidate, care: Care, to_beat: float | None) -> None:
        self._judge, self._candidate, self._care, self._to_beat = judge, candidate, care, to_beat
        self._folder, self._language = judge.folder, language_of(candidate)
        self._rng = np.random.default_rng(np.random.SeedSequence())
        self._gates: list[Gate] = []
        self._domain = gates.Domain()
        self._measured: list[tuple[Samples, Measurement]] = []
        self._interval: Interval | None = None
        self._resources: tuple[Resources, ...] = ()
        self._modes: set[str] = set()
        self._notes: list[str] = []

    def run(self) -> Verdict:
        started = time.monotonic()
        status, detail, counterexample, accepted = Status.PASSED, "", None, False
        try:
            self._verify()
            accepted = self._is_faster()
            detail = self._describe(accepted)
        except CandidateFailure as failure:
            status, detail, counterexample = failure.status, failure.detail, failure.counterexample
        except Infrastructure as error:
            status, detail = Status.INFRASTRUCTURE, str(error)
        interval = self._interval
        passed = status is Status.PASSED
        return Verdict(
            target=self._folder.target.name,
            digest=self._candidate.digest,
            language=self._candidate.language,
            dtype=self._judge.dtype,
            status=status,
            detail=detail,
            seconds=time.monotonic() - started,
            accepted=accepted,
            counterexample=counterexample,
            gates=tuple(self._gates),
            measurements=() if interval is None else tuple(m for _, m in self._measured),
            speedup=None if interval is None else interval.value,
            low=None if interval is None else interval.low,
            high=None if interval is None else interval.high,
            equivalence=self._domain.equivalence if passed else None,
            domain=self._domain.ranges if passed else {},
            resources=self._resources,
        )

    def _verify(self) -> None:
        judge, folder, dtype, rng = self._judge, self._folder, self._judge.dtype, self._rng
        target, candidate = folder.target, self._candidate
        self._gate("build", lambda: self._language.build(target, candidate, dtype, judge.cache_dir))
        # The text alone: an emulation, and a compiler for it, are for machines without a GPU.
        passed = host_functions(target, candidate.declared)
        self._gate("lint", lambda: lint_host(candidate.source, candidate.language, passed))
        if not self._judge.without >= IN_FIRST_LAUNCHER:
            self._prove()
        self._gate("sanitizer", self._sanitize)
        self._gate("controls", lambda: gates.negative_controls(folder, dtype, rng))
        if "timing" not in self._judge.without:
            with self._load() as run:  # a process that has only ever been timed
                self._gate("timing", lambda: self._time(run, self._care.effort))

    def _prove(self) -> None:
        judge, folder, dtype, rng = self._judge, self._folder, self._judge.dtype, self._rng
        with self._open() as run:
            self._gate("compile ahead", lambda: self._compile_ahead(run.session))
            self._gate("roofline", lambda: self._check_roofline(run.session))
            self._gate("load", run.load)
            self._gate("smoke", lambda: gates.smoke(folder, run, dtype, rng, self._domain))
            if self._to_beat is not None:
                self._gate("first look", lambda: self._look(run))
            self._gate("properties", lambda: gates.properties(folder, run, dtype, rng))
            self._gate("ladder", lambda: gates.ladder(folder, run, dtype, rng, self._domain))
            self._gate("search", lambda: self._search(run))
            self._gate("determinism", lambda: self._repeat(run))
            self._gate("timed shapes", lambda: gates.timed_shapes(folder, judge.workloads, run, rng, self._domain))

    def _open(self, **setting: Any) -> GpuRun:
        judge = self._judge
        return GpuRun(self._folder.target, self._candidate, judge.dtype, judge.place, **setting)

    def _load(self, **setting: Any) -> GpuRun:
        run = self._open(**setting)
        run.load()
        return run

    def _compile_ahead(self, session: GpuSession) -> None:
        """For this very device, if its limits are known."""
        judge, capability = self._judge, session.device["capability"]
        if self._language.ahead is not None and capability in MULTIPROCESSORS:
            try:
                found = self._language.ahead(
                    self._folder.target, self._candidate, judge.workloads, (capability,), judge.cache_dir
                )
            except (EnvironmentMissing, Infrastructure) as error:  # the device itself will refuse what does not fit
                self._notes.append(f"not compiled ahead: {error}"[:200])
            else:
                self._resources = found or ()

    def _check_roofline(self, session: GpuSession) -> None:
        """Refuses a binding whose grids leave so much of the device idle that no kernel could beat what is known."""
        known, multiprocessors = self._judge.baselines_us, session.device.get("multiprocessors")
        if self._to_beat is None or not multiprocessors or calls_library(self._candidate.source):
            return
        if any(w.name not in known for w in self._judge.workloads):
            return
        peaks = measured_peaks(session)
        share = busy_share(self._resources, multiprocessors)
        cache_bytes = int(session.device["cache_bytes"])
        bound = best_speedup(self._folder.target, self._judge.workloads, known, peaks, share, cache_bytes)
        if bound < self._to_beat:
            detail = f"at most {bound:.3f}x by the roofline of the multiprocessors that its grids reach; not run"
            raise CandidateFailure(Status.SLOWER, detail)

    def _search(self, run: GpuRun) -> None:
        folder, dtype, rng, care = self._folder, self._judge.dtype, self._rng, self._care
        gates.try_numbers(folder, run, dtype, rng, self._domain, gates.numbers_of(self._candidate.source))
        gates.search_counterexample(
            folder, run, dtype, rng, self._domain, examples=care.examples, budget_s=care.search_s
        )

    def _repeat(self, run: GpuRun) -> None:
        with self._load() as fresh:
            gates.determinism(self._folder, run, {"in a fresh process": fresh}, self._judge.dtype, self._rng)

    def _sanitize(self) -> None:
        """The smallest shapes under compute-sanitizer, where it is installed: steps beyond an allocation."""
        program = shutil.which(SANITIZER)
        if program is None or self._judge.place != "cuda":
            return
        try:
            loaded = self._load(prefix=(program, *SANITIZER_OPTIONS), timeout_s=SANITIZER_TIMEOUT_S)
        except Infrastructure as error:  # it is an extra pair of eyes: without it the other gates still hold
            self._notes.append(f"compute-sanitizer did not start: {error}"[:200])
            return
        with loaded as run:
            gates.smoke(self._folder, run, self._judge.dtype, self._rng, gates.Domain())
            said = run.session.close()
        if run.session.status == SANITIZER_STATUS:
            raise CandidateFailure(Status.INTEGRITY, "steps beyond an allocation (compute-sanitizer)", said or None)

    def _look(self, run: GpuRun) -> None:
        assert self._to_beat is not None
        self._time(run, FIRST_LOOK)
        if self._interval is not None and self._interval.high < self._to_beat:
            raise CandidateFailure(Status.SLOWER, f"below {self._to_beat:.3f}x at a first look, so not proven")
        self._measured, self._interval = [], None

    def _time(self, run: GpuRun, effort: Effort) -> None:
        peaks = measured_peaks(run.session)
        measured = []
        for workload in self._judge.workloads:
            contest = GpuContest(self._folder, workload, run, self._rng)
            self._modes.add("CUDA graphs" if contest.staged["is_graph"] else "single launches")
            measured.append(contest.measure(effort, peaks))
            self._judge.baselines_us[workload.name] = measured[-1][1].baseline_us
        self._measured = measured
        self._interval = weighted_speedup(
            [s for s, _ in measured], [m.baseline_us for _, m in measured], [m.calls for _, m in measured], self._rng
        )

    def _is_faster(self) -> bool:
        if self._interval is None or self._judge.without or self._judge.place != "cuda":
            return False
        return is_faster(self._interval, [s for s, _ in self._measured], max(m.noise for _, m in self._measured))

    def _describe(self, accepted: bool) -> str:
        if not self._measured:
            return "; ".join(("equal; not timed", *self._notes))
        said = "equal and faster" if accepted else "equal, but not faster beyond doubt"
        return "; ".join((said, f"timed by {' and '.join(sorted(self._modes))}", *self._notes))

    def _gate(self, name: str, check: Callable[[], None]) -> None:
        if name in self._judge.without:
            return
        started, passed = time.monotonic(), False
        try:
            check()
            passed = True
        except BuildError as error:
            raise CandidateFailure(Status.BUILD, "does not compile", str(error)) from None
        except ContractError as error:
            raise CandidateFailure(Status.LINT if name == "lint" else Status.CONTRACT, str(error)) from None
        finally:
            self._gates.append(Gate(name, passed, time.monotonic() - started))
