"""The checks between "it compiles" and "it is equal", cheapest first; the first failure ends a trial.

Each gate asks questions through a `Run` and raises CandidateFailure. What a proposer may learn is the class of the
failure and the smallest case that shows it; seeds and margins stay with the judge.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kernelsearch.errors import Infrastructure
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Status
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, edges, make_case, regimes
from kernelsearch.verify.check import (
    Domain,
    Question,
    ask_some_rows,
    check_case,
    compare_all,
    compare_case,
    compare_side_by_side,
    have_same_bits,
    run_case,
)
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.dictionary import numbers_of, try_numbers
from kernelsearch.verify.oracle import Expected, expect
from kernelsearch.verify.run import CandidateFailure, Run
from kernelsearch.verify.search import search_counterexample
from kernelsearch.verify.sensitivity import check_sensitivity

__all__ = (
    "Domain",
    "compare_all",
    "determinism",
    "ladder",
    "memory",
    "negative_controls",
    "numbers_of",
    "properties",
    "search_counterexample",
    "smoke",
    "soak",
    "timed_shapes",
    "try_numbers",
)

SMOKE_CASES = 3
CONTROL_DRAWS = 8
SOAK_CALLS, SOAK_S = (100_000, 200_000), 0.5
WATCHED = "with allocations fenced and full of NaN, and array bounds checked"
WATCHED_EVERY, WATCHED_FLOPS, WATCHED_ROWS = 3, 2e6, 4


def smoke(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator, domain: Domain) -> None:
    """A few of the smallest shapes of each entry: does it run, does it write what it must and nothing else."""
    for entry in folder.target.entries:
        for workload in edges(folder, entry, dtype)[:SMOKE_CASES]:
            check_case(folder, make_case(folder, workload, "normal", rng), run, domain)
            domain.include(workload)


def properties(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Metamorphic relations of the operation, bitwise wherever exact arithmetic allows, and those of any operation."""
    for relation in folder.module("properties").PROPERTIES:
        try:
            relation(run, dtype, rng)
        except AssertionError as error:
            name = relation.__name__.replace("_", " ")
            raise CandidateFailure(Status.PROPERTY, f"breaks a relation: {name}", str(error)[:400] or name) from None
    check_sensitivity(folder, run, dtype, rng)


def ladder(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator, domain: Domain) -> None:
    """Every edge shape on benign values, then each adversarial regime on one of the large and one of all shapes."""
    for entry in folder.target.entries:
        every = edges(folder, entry, dtype)
        for workload in every:
            case = make_case(folder, workload, "normal", rng)
            check_case(folder, case, run, domain, shift=int(rng.integers(0, 4)))
            domain.include(workload)
        large = every[-max(1, len(every) // 3) :]
        for regime in regimes(folder):
            for some in (every, large):
                check_case(folder, make_case(folder, some[int(rng.integers(len(some)))], regime, rng), run, domain)


def timed_shapes(
    folder: TargetFolder,
    workloads: tuple[Workload, ...],
    run: Run,
    rng: np.random.Generator,
    domain: Domain,
    workers: int = 1,
) -> None:
    """The very shapes that will be timed, on benign, trained-like and one random adversarial regime."""
    names = regimes(folder)

    def ask() -> Iterator[Question]:
        for workload in workloads:
            for regime in {"normal", "trained" if "trained" in names else "normal", str(rng.choice(names))}:
                yield ask_some_rows(make_case(folder, workload, regime, rng), folder, run, rng, domain)

    compare_side_by_side(folder, ask(), workers)
    for workload in workloads:
        domain.include(workload)


def determinism(
    folder: TargetFolder, run: Run, others: Mapping[str, Run], dtype: str, rng: np.random.Generator
) -> None:
    """The same bits twice in one process, and in `others`, by where they run: "in a fresh process", ..."""
    for entry in folder.target.entries:
        case = make_case(folder, edges(folder, entry, dtype)[-1], "normal", rng)
        first = run_case(case, run)
        for where, again in ({"in the same process": run} | dict(others)).items():
            second = run_case(case, again)
            for name in first:
                if not have_same_bits(first[name], second[name]):
                    raise CandidateFailure(
                        Status.DETERMINISM, f"{name} differs when repeated {where}", f"{case.describe()}: {name}"
                    )


def memory(
    folder: TargetFolder,
    workloads: tuple[Workload, ...],
    run: Run,
    dtype: str,
    rng: np.random.Generator,
    domain: Domain,
) -> None:
    """No two threads on the same memory, no step beyond an allocation, no value that was never written.

    `run` holds a build that watches (sandbox/memory.cpp). On every third edge shape, and on the timed shapes cut down
    to what so slow a build can do.
    """
    shapes = [w for entry in folder.target.entries for w in edges(folder, entry, dtype)[::-1][::WATCHED_EVERY]]
    shapes += [small for w in workloads if (small := _cut_down(folder, w)) is not None]
    for workload in shapes:
        case = make_case(folder, workload, "normal", rng)
        try:
            compare_case(folder, case, run, domain)
        except CandidateFailure as failure:
            detail = failure.detail if failure.status is Status.DETERMINISM else f"{failure.detail} ({WATCHED})"
            raise CandidateFailure(failure.status, detail, case.describe()) from None


def _cut_down(folder: TargetFolder, workload: Workload) -> Workload | None:
    """The workload with fewer independent rows; None if even so it is too much work."""
    entry = folder.target.entry(workload.entry)
    axis = getattr(folder.module("reference"), f"{entry.name}_ROW_AXIS", None)
    if axis is None:
        return None
    flops_of_row = entry.forward_flops(workload.sizes, workload.parameters) / workload.sizes[axis]
    rows = min(workload.sizes[axis], int(WATCHED_FLOPS / flops_of_row))
    return replace(workload, sizes={**workload.sizes, axis: rows}) if rows >= WATCHED_ROWS else None


def soak(
    folder: TargetFolder, run: Run, repeat: Callable[[Case, int, float], None], dtype: str, rng: np.random.Generator
) -> None:
    """The same bits after a random number of calls, a hundred thousand where time allows: nothing may wear off.

    `repeat(case, times, seconds)` makes a call so often in the process of `run`.
    """
    for entry in folder.target.entries:
        case = make_case(folder, edges(folder, entry, dtype)[0], "normal", rng)
        first = run_case(case, run)
        repeat(case, int(rng.integers(*SOAK_CALLS)), SOAK_S)
        second = run_case(case, run)
        for name in first:
            if not have_same_bits(first[name], second[name]):
                raise CandidateFailure(
                    Status.DETERMINISM, f"{name} differs after many calls", f"{case.describe()}: {name}"
                )


def negative_controls(folder: TargetFolder, dtype: str, rng: np.random.Generator) -> None:
    """Zeros, a constant, an input passed through and stale results must each be refused by this very judge.

    A draw may happen to have such an answer (every target ignored: the loss is zero); several draws may not.
    """
    for entry in folder.target.entries:
        workload = edges(folder, entry, dtype)[-1]
        accepted: set[str] = set()
        for draw in range(CONTROL_DRAWS):
            case, other = (make_case(folder, workload, "normal", rng) for _ in range(2))
            expected, stale = expect(folder, case), expect(folder, other)
            fakes = dict(_fakes(case, expected, stale))
            passed = {name for name, fake in fakes.items() if not _is_refused(fake, expected)}
            accepted = passed if draw == 0 else accepted & passed
            if not accepted:
                break
        else:
            raise Infrastructure(
                f"target={folder.target.name!r} entry={entry.name!r}: the judge would accept {' and '.join(accepted)}; "
                "its inputs or magnitudes cannot tell right from wrong"
            )


def _is_refused(fake: Mapping[str, Tensor], expected: Expected) -> bool:
    return any(find_difference(fake[n], expected.answers[n]) is not None for n in fake)


def _fakes(case: Case, expected: Expected, stale: Expected) -> Iterator[tuple[str, dict[str, Tensor]]]:
    honest = expected.baseline
    yield "all zeros", {n: torch.zeros_like(t) for n, t in honest.items()}
    yield "a constant", {n: torch.full_like(t, float(t.double().mean())) for n, t in honest.items()}
    yield "stale results", dict(stale.baseline)
    passed = [t for t in case.inputs.values() if t.is_floating_point()]
    same = {n: next((p for p in passed if p.shape == t.shape), None) for n, t in honest.items()}
    if any(p is not None for p in same.values()):
        yield "an input passed through", {n: t if same[n] is None else same[n] for n, t in honest.items()}  # type: ignore[misc]
