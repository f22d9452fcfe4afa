"""One case put to a candidate: run it, compare all that it returned, remember what was shown, shrink what failed."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Status
from kernelsearch.spec.target import Entry
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, take_rows
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import Expected, expect, find_answers
from kernelsearch.verify.run import CandidateFailure, Run, Tensors
from kernelsearch.verify.shrink import SHRINKABLE, Finding, Shrinking

BITWISE = "bitwise"
WITHIN_POLICY = "within the declared precision policy"


@dataclass
class Domain:
    """What was shown: per entry and axis the smallest and largest extent judged right, and how closely."""

    ranges: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    is_bitwise: bool = True

    def include(self, workload: Workload) -> None:
        axes = self.ranges.setdefault(workload.entry, {})
        for axis, size in workload.sizes.items():
            low, high = axes.get(axis, (size, size))
            axes[axis] = (min(low, size), max(high, size))

    def observe(self, got: Tensors, baseline: Tensors) -> None:
        """One difference in any bit of any result, in any case, and the candidate is not bitwise the baseline."""
        self.is_bitwise = self.is_bitwise and all(have_same_bits(got[name], baseline[name]) for name in baseline)

    @property
    def equivalence(self) -> str:
        """The strongest class that every compared case was in, against the baseline of this machine."""
        return BITWISE if self.is_bitwise and self.ranges else WITHIN_POLICY


def have_same_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8) if x.dim() else x.reshape(1).view(torch.uint8)


def check_case(folder: TargetFolder, case: Case, run: Run, domain: Domain, *, shift: int = 0) -> None:
    """Runs one case and compares every result; raises CandidateFailure with a shrunk counterexample."""
    try:
        compare_case(folder, case, run, domain, shift=shift)
    except CandidateFailure as failure:
        raise shrunk(folder, case, run, failure, shift) from None


def compare_case(folder: TargetFolder, case: Case, run: Run, domain: Domain, *, shift: int = 0) -> None:
    """Runs one case and compares every result; raises CandidateFailure on the first difference."""
    got = run_case(case, run, shift=shift)
    expected = expect(folder, case)
    compare_all(folder, case, got, expected, shift=shift)
    domain.observe(got, expected.baseline)


@dataclass(frozen=True)
class Question:
    """A case, or some rows of one, with what a candidate answered; `shown` is told of the comparison, where given."""

    case: Case
    got: Tensors
    shown: Domain | None = None


def ask_some_rows(case: Case, folder: TargetFolder, run: Run, rng: np.random.Generator, domain: Domain) -> Question:
    """Runs the whole case; the rows to compare are chosen after it ran."""
    return Question(*take_rows(folder, case, run_case(case, run), rng), domain)


def compare_side_by_side(folder: TargetFolder, questions: Iterable[Question], workers: int) -> None:
    """Compares every answer, so many at once: the oracle of large shapes keeps one core busy for seconds.

    Questions are asked while the first are compared. Raises the CandidateFailure of the earliest one that fails.
    """
    if workers == 1:
        for question in questions:
            _observe(question, _compare(folder, question))
        return
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        asked = [(question, pool.submit(_compare, folder, question)) for question in questions]
        for question, compared in asked:
            _observe(question, compared.result())


def _compare(folder: TargetFolder, question: Question) -> Tensors:
    """What the baseline makes of the case."""
    expected = expect(folder, question.case)
    compare_all(folder, question.case, question.got, expected)
    return expected.baseline


def _observe(question: Question, baseline: Tensors) -> None:
    if question.shown is not None:
        question.shown.observe(question.got, baseline)


def run_case(case: Case, run: Run, *, shift: int = 0) -> dict[str, Tensor]:
    w = case.workload
    return run(w.entry, w.sizes, w.parameters, case.inputs, case.output_gradients, shift=shift)


def compare_all(folder: TargetFolder, case: Case, got: Tensors, expected: Expected, *, shift: int = 0) -> None:
    """The rule on every output, updated input and gradient; raises CandidateFailure on the first difference."""
    entry = folder.target.entry(case.workload.entry)
    for name in result_names(entry):
        wrong = find_difference(got[name], expected.answers[name])
        if wrong is not None:
            found = Finding(case, shift, name, got[name], expected.answers[name].exact)
            raise CandidateFailure(status_of_wrong(entry, name), f"{name} {wrong}", found.describe())


def result_names(entry: Entry) -> tuple[str, ...]:
    return (*(t.name for t in entry.outputs), *entry.updates, *(t.name for t in entry.input_gradients()))


def shrunk(folder: TargetFolder, case: Case, run: Run, failure: CandidateFailure, shift: int = 0) -> CandidateFailure:
    """The same failure with the simplest counterexample that a bounded search finds."""
    if failure.status not in SHRINKABLE:
        return failure
    entry = folder.target.entry(case.workload.entry)

    def check(case: Case, shift: int) -> Finding | None:
        got = run_case(case, run, shift=shift)
        answers = find_answers(folder, case)
        for name in result_names(entry):
            if status_of_wrong(entry, name) is failure.status and find_difference(got[name], answers[name]) is not None:
                return Finding(case, shift, name, got[name], answers[name].exact)
        return None

    best = Shrinking(folder, check, case, shift).run()
    if best is None:
        return failure
    wrong = failure.detail.split(" ", 1)[1]
    return CandidateFailure(failure.status, f"{best.name} {wrong}", best.describe())


def status_of_wrong(entry: Entry, name: str) -> Status:
    """What a candidate is called whose result of this name is wrong."""
    return Status.GRADIENT if name in {t.name for t in entry.input_gradients()} else Status.MISMATCH
