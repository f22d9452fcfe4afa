"""The judge: builds a candidate, puts it through every gate, times it, and says what it is worth.

It lives in another process than the candidate, draws its seeds only when the candidate's digest is fixed, and believes
nothing the candidate could have written. A gate that errors fails the verdict as our own fault, never as a pass.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from kernelsearch.build import cpp
from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.errors import BuildError, ContractError, Infrastructure
from kernelsearch.sandbox.baseline import BaselineProcess
from kernelsearch.sandbox.contest import Contest
from kernelsearch.sandbox.execution import Execution, Relay
from kernelsearch.sandbox.integrity import question_the_figures
from kernelsearch.sandbox.languages import Language, language_of, watched
from kernelsearch.sandbox.layout import bytes_needed, lay_out
from kernelsearch.sandbox.turn import own_turn
from kernelsearch.sandbox.workshop import Workshop
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Gate, Measurement, Resources, Status, Verdict
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.allocator import release_freed_memory
from kernelsearch.timing.clock import Effort
from kernelsearch.timing.roofline import Peaks, measured_peaks
from kernelsearch.timing.statistics import Interval, Samples, is_faster, weighted_speedup
from kernelsearch.verify import gates
from kernelsearch.verify.run import CandidateFailure, Run

SMALL_REGION_BYTES = 48 << 20
DEAR_GATES = frozenset({"search", "determinism", "soak", "timed shapes", "memory", "controls", "timing"})
SCREENED = "passes the cheap gates; neither proven equal nor timed"
WAITING = "its turn: another judgement is running"
FIRST_LOOK = Effort(seconds=0.2, minimum_rounds=5, maximum_rounds=10, close_calls=1)


def ignore(gate: str) -> None:
    """Who is told nothing."""


@dataclass(frozen=True)
class Care:
    """How much a verdict may cost: Hypothesis examples per entry and their seconds, timing effort per workload."""

    examples: int = 40
    search_s: float = 4.0
    effort: Effort = field(default_factory=Effort)

    def doubled(self) -> "Care":
        return Care(self.examples * 2, self.search_s * 2, self.effort.times(2))


@dataclass(frozen=True)
class Judge:
    """Judges candidates of one target in one dtype, timed on the given workloads.

    `without` names gates to leave out, so that a test can show which gate stops what; nothing is accepted then.
    `turn` is the lock under which one judgement runs at a time; `on_gate` is told each gate before it begins.
    `architectures` are the compute capabilities that GPU kernels are compiled for, the deciding one first.
    """

    folder: TargetFolder
    dtype: str
    workloads: tuple[Workload, ...]
    cache_dir: Path
    threads: int
    care: Care = Care()
    without: frozenset[str] = frozenset()
    turn: Path | None = None
    on_gate: Callable[[str], None] = ignore
    architectures: tuple[int, ...] = ARCHITECTURES[:1]

    def __post_init__(self) -> None:
        if "load" in self.without:
            raise ValueError("without={'load'}: a candidate that is not loaded cannot be judged")

    @cached_property
    def opponent(self) -> BaselineProcess:
        """The baseline's process: started at first use, kept for the next candidate, ended with the judge."""
        return BaselineProcess(self.threads)

    @cached_property
    def workshop(self) -> Workshop:
        """Where builds are made ahead."""
        return Workshop()

    def prepare(self, candidate: Candidate) -> None:
        """A candidate that will probably be judged next: it is built when a core is idle and nobody is timed."""
        build = language_of(candidate).build
        self.workshop.add(lambda: build(self.folder.target, candidate, self.dtype, self.cache_dir))

    def close(self) -> None:
        """Ends what the judge keeps between candidates; it starts again when needed."""
        if "opponent" in self.__dict__:
            self.opponent.close()
            del self.__dict__["opponent"]

    def judge(self, candidate: Candidate, to_beat: float | None = None) -> Verdict:
        """Proves and times. What at first looks clearly slower than a speedup of `to_beat` is SLOWER, not proven."""
        with self._turn():
            return _Trial(self, candidate, self.care, to_beat).run()

    def screen(self, candidate: Candidate) -> Verdict:
        """The cheap gates alone: what passes is neither proven nor timed, and what fails would fail the whole."""
        verdict = replace(self, without=self.without | DEAR_GATES).judge(candidate)
        return replace(verdict, detail=SCREENED) if verdict.passed else verdict

    def prove(self, candidate: Candidate) -> Verdict:
        """Equality alone: every gate but the clock. Says nothing about speed, so nothing is accepted."""
        return replace(self, without=self.without | {"timing"}).judge(candidate)

    def confirm(self, candidate: Candidate) -> Verdict:
        """The whole verdict again from scratch: fresh seeds, a fresh process, twice the effort."""
        with self._turn():
            return _Trial(self, candidate, self.care.doubled()).run()

    def _turn(self) -> AbstractContextManager[None]:
        return own_turn(self.turn, lambda: self.on_gate(WAITING))


class _Trial:
    """One verdict in the making."""

    def __init__(self, judge: Judge, candidate: Candidate, care: Care, to_beat: float | None = None) -> None:
        self._judge, self._candidate, self._care, self._to_beat = judge, candidate, care, to_beat
        self._folder, self._language = judge.folder, language_of(candidate)
        # Drawn now, when the candidate is fixed: nothing about the seeds existed before it.
        self._rng = np.random.default_rng(np.random.SeedSequence())
        self._gates: list[Gate] = []
        self._domain = gates.Domain()
        self._measured: list[tuple[Samples, Measurement]] = []
        self._interval: Interval | None = None
        self._resources: tuple[Resources, ...] | None = None

    def run(self) -> Verdict:
        started, threads = time.monotonic(), torch.get_num_threads()
        accepted = False
        status, detail, counterexample = Status.PASSED, "", None
        try:
            release_freed_memory()
            torch.set_num_threads(1)  # two spinning threads of the oracle would suffer from any busy neighbour
            self._verify()
            if not self._language.untimed:
                self._gate("timing", lambda: self._time(self._care.effort, question_the_figures))
            accepted = self._is_faster() and not self._judge.without
            detail = self._language.untimed or _describe(accepted, [s for s, _ in self._measured])
            if self._language.caveat:
                accepted, detail = False, f"{detail}; {self._language.caveat}"
        except CandidateFailure as failure:
            status, detail, counterexample = failure.status, failure.detail, failure.counterexample
        except Infrastructure as error:
            status, detail = Status.INFRASTRUCTURE, str(error)
        finally:
            torch.set_num_threads(threads)
        interval = self._interval
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
            equivalence=self._domain.equivalence if status is Status.PASSED else None,
            domain=self._domain.ranges if status is Status.PASSED else {},
            resources=self._resources or (),
        )

    def _verify(self) -> None:
        folder, dtype, rng = self._folder, self._judge.dtype, self._rng
        self._gate("contract", self._check_contract)
        with self._judge.workshop.open():
            self._gate("build", self._build)
        self._gate("lint", self._lint)
        if self._language.ahead is not None:
            self._gate("compile ahead", self._compile_ahead)
        with ExitStack() as running:
            started: list[Execution] = []
            self._gate("load", lambda: started.append(running.enter_context(self._execution(SMALL_REGION_BYTES))))
            (run,) = started
            self._gate("smoke", lambda: gates.smoke(folder, run, dtype, rng, self._domain))
            if self._to_beat is not None and not self._language.untimed:
                self._gate("first look", self._look)
            self._build_watched_ahead()
            with self._judge.workshop.open():
                self._gate("properties", lambda: gates.properties(folder, run, dtype, rng))
                self._gate("ladder", lambda: gates.ladder(folder, run, dtype, rng, self._domain))
                self._gate("search", lambda: self._search(run))
            with self._execution(SMALL_REGION_BYTES) as fresh:
                others: dict[str, Run] = {
                    "with its backward in another process": Relay(run, fresh),
                    "in a fresh process": fresh,
                }
                self._gate("determinism", lambda: gates.determinism(folder, run, others, dtype, rng))
            if not self._language.untimed:
                self._gate("soak", lambda: gates.soak(folder, run, run.repeat, dtype, rng))
        if not self._language.untimed:
            self._verify_as_timed()
        self._gate("controls", lambda: gates.negative_controls(folder, dtype, rng))

    def _verify_as_timed(self) -> None:
        """The gates that need large calls."""
        folder, rng = self._folder, self._rng
        if "timing" not in self._judge.without:
            _ = self._judge.opponent  # importing torch takes a while: meanwhile the last gates go on
        with self._execution(self._largest_region()) as run:
            self._gate(
                "timed shapes",
                lambda: gates.timed_shapes(folder, self._judge.workloads, run, rng, self._domain, self._judge.threads),
            )
        self._gate("memory", self._watch_memory)

    def _look(self) -> None:
        """Times for a moment; refuses what is clearly slower than `to_beat`, forgets everything else."""
        assert self._to_beat is not None
        self._time(FIRST_LOOK, is_first_look=True)
        if self._interval is not None and self._interval.high < self._to_beat:
            raise CandidateFailure(Status.SLOWER, f"below {self._to_beat:.3f}x at a first look, so not proven")
        self._measured, self._interval = [], None

    def _time(
        self,
        effort: Effort,
        is_sound: Callable[[Contest], bool] = lambda contest: True,
        *,
        is_first_look: bool = False,
    ) -> None:
        """Measures every workload; the figures count together, or not at all."""
        measured: list[tuple[Samples, Measurement]] = []
        for workload in self._judge.workloads:
            contest = Contest(
                self._folder,
                self._candidate,
                workload,
                self._judge.opponent,
                cache_dir=self._judge.cache_dir,
                threads=self._judge.threads,
                rng=self._rng,
                is_first_look=is_first_look,
            )
            try:
                samples, measurement = contest.run(effort, self._peaks)
                is_quiet = is_sound(contest) and samples.is_quiet
                measured.append((replace(samples, is_quiet=is_quiet), measurement))
            finally:
                contest.close()
        self._measured = measured
        self._interval = weighted_speedup(
            [s for s, _ in measured], [m.baseline_us for _, m in measured], [m.calls for _, m in measured], self._rng
        )

    def _peaks(self, again: bool) -> Peaks:
        torch.set_num_threads(self._judge.threads)
        try:
            return measured_peaks(self._judge.cache_dir, cpp.cpu_identity(), again=again)
        finally:
            torch.set_num_threads(1)

    def _is_faster(self) -> bool:
        if self._interval is None:
            return False
        return is_faster(self._interval, [s for s, _ in self._measured], max(m.noise for _, m in self._measured))

    def _check_contract(self) -> None:
        for entry in self._folder.target.entries:
            saved_tensors(self._candidate.declared, self._folder.target, entry.name)

    def _build(self) -> None:
        self._language.build(self._folder.target, self._candidate, self._judge.dtype, self._judge.cache_dir)

    def _lint(self) -> None:
        self._language.lint(self._folder.target, self._candidate, self._judge.dtype, self._judge.cache_dir)

    def _compile_ahead(self) -> None:
        judge = self._judge
        assert self._language.ahead is not None
        self._resources = self._language.ahead(
            self._folder.target, self._candidate, judge.workloads, judge.architectures, judge.cache_dir
        )

    def _search(self, run: Run) -> None:
        folder, dtype, rng, care = self._folder, self._judge.dtype, self._rng, self._care
        gates.try_numbers(folder, run, dtype, rng, self._domain, gates.numbers_of(self._candidate.source))
        gates.search_counterexample(
            folder, run, dtype, rng, self._domain, examples=care.examples, budget_s=care.search_s
        )

    def _build_watched_ahead(self) -> None:
        """Another build of the same source, for the gate on memory."""
        language, judge = watched(self._candidate), self._judge
        if language is not None and "memory" not in judge.without:
            target, artifact = self._folder.target, language.artifact
            judge.workshop.add(lambda: artifact(target, self._candidate, judge.dtype, judge.cache_dir))

    def _watch_memory(self) -> None:
        judge, language = self._judge, watched(self._candidate)
        if language is not None:
            with self._execution(SMALL_REGION_BYTES, language) as run:
                gates.memory(self._folder, judge.workloads, run, judge.dtype, self._rng, self._domain)

    def _gate(self, name: str, check: Callable[[], None]) -> None:
        if name in self._judge.without:
            return
        self._judge.on_gate(name)
        started = time.monotonic()
        passed = False
        try:
            check()
            passed = True
        except BuildError as error:
            raise CandidateFailure(Status.BUILD, "does not compile", str(error)) from None
        except ContractError as error:
            status = Status.LINT if name == "lint" else Status.CONTRACT
            raise CandidateFailure(status, str(error)) from None
        finally:
            self._gates.append(Gate(name, passed, time.monotonic() - started))

    def _execution(self, region_bytes: int, language: Language | None = None) -> Execution:
        return Execution(
            self._folder.target,
            self._candidate,
            self._judge.dtype,
            region_bytes=region_bytes,
            cache_dir=self._judge.cache_dir,
            threads=self._judge.threads,
            rng=self._rng,
            language=language,
        )

    def _largest_region(self) -> int:
        layouts = []
        for workload in self._judge.workloads:
            entry = self._folder.target.entry(workload.entry)
            saved = saved_tensors(self._candidate.declared, self._folder.target, entry.name)
            layouts.append(lay_out(entry, saved, workload.sizes, workload.dtype, backward=entry.has_backward))
        return max(bytes_needed(layout) for layout in layouts)


def _describe(accepted: bool, samples: list[Samples]) -> str:
    if not samples:
        return "equal; not timed"
    if not all(s.is_quiet for s in samples):
        return "equal; too noisy to tell whether faster: other programs use the cores, try --threads with fewer"
    return "equal and faster" if accepted else "equal, but not faster beyond doubt"
