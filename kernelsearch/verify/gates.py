"""The checks between "it compiles" and "it is equal", cheapest first; the first failure ends a trial.

Each gate asks questions through a `Run` and raises CandidateFailure. What a proposer may learn is the class of the
failure and the smallest case that shows it; seeds and margins stay with the judge.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

from kernelsearch.errors import Infrastructure
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Status
from kernelsearch.spec.target import Axis, Entry
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, make_case, regimes, take_rows
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import Expected, expect
from kernelsearch.verify.run import CandidateFailure, Run, Tensors

SMOKE_CASES = 3
EDGES_PER_REGIME = 2
CONTROL_DRAWS = 8
EXTENTS = (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97, 127, 128, 129, 160, 255, 256, 257)
MAXIMUM_ELEMENTS = 60_000


@dataclass
class Domain:
    """Per entry and axis, the smallest and largest extent that was judged right."""

    ranges: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def include(self, workload: Workload) -> None:
        axes = self.ranges.setdefault(workload.entry, {})
        for axis, size in workload.sizes.items():
            low, high = axes.get(axis, (size, size))
            axes[axis] = (min(low, size), max(high, size))


def check_case(folder: TargetFolder, case: Case, run: Run, *, shift: int = 0) -> tuple[dict[str, Tensor], Expected]:
    """Runs one case and compares every output and gradient; raises CandidateFailure on the first difference."""
    workload = case.workload
    got = run(workload.entry, workload.sizes, workload.parameters, case.inputs, case.output_gradients, shift=shift)
    expected = expect(folder, case)
    compare_all(folder, case, got, expected, shift=shift)
    return got, expected


def check_some_rows(folder: TargetFolder, case: Case, run: Run, rng: np.random.Generator) -> None:
    """Runs the whole case, then compares rows that were chosen after it ran."""
    w = case.workload
    got = run(w.entry, w.sizes, w.parameters, case.inputs, case.output_gradients)
    rows, got_rows = take_rows(folder, case, got, rng)
    compare_all(folder, rows, got_rows, expect(folder, rows))


def compare_all(folder: TargetFolder, case: Case, got: Tensors, expected: Expected, *, shift: int = 0) -> None:
    """The rule on every output, updated input and gradient; raises CandidateFailure on the first difference."""
    entry = folder.target.entry(case.workload.entry)
    gradients = {t.name for t in entry.input_gradients()}
    for name in (*(t.name for t in entry.outputs), *entry.updates, *(t.name for t in entry.input_gradients())):
        wrong = find_difference(got[name], expected.answers[name])
        if wrong is not None:
            status = Status.GRADIENT if name in gradients else Status.MISMATCH
            raise CandidateFailure(status, f"{name} {wrong}", f"{case.describe()} shift={shift}: {name}")


def smoke(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator, domain: Domain) -> None:
    """A few of the smallest shapes of each entry: does it run, does it write what it must and nothing else."""
    for entry in folder.target.entries:
        for workload in _by_size(_edges(folder, entry, dtype))[:SMOKE_CASES]:
            check_case(folder, make_case(folder, workload, "normal", rng), run)
            domain.include(workload)


def properties(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Metamorphic relations of the operation, bitwise wherever exact arithmetic allows."""
    for relation in folder.module("properties").PROPERTIES:
        try:
            relation(run, dtype, rng)
        except AssertionError as error:
            name = relation.__name__.replace("_", " ")
            raise CandidateFailure(Status.PROPERTY, f"breaks a relation: {name}", str(error)[:400] or name) from None


def ladder(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator, domain: Domain) -> None:
    """Every edge shape on benign values, then each adversarial regime on some of them, small shapes first."""
    for entry in folder.target.entries:
        edges = _by_size(_edges(folder, entry, dtype))
        for workload in edges:
            check_case(folder, make_case(folder, workload, "normal", rng), run, shift=int(rng.integers(0, 4)))
            domain.include(workload)
        for regime in regimes(folder):
            for index in sorted(rng.choice(len(edges), size=min(EDGES_PER_REGIME, len(edges)), replace=False)):
                check_case(folder, make_case(folder, edges[index], regime, rng), run)


def timed_shapes(
    folder: TargetFolder, workloads: tuple[Workload, ...], run: Run, rng: np.random.Generator, domain: Domain
) -> None:
    """The very shapes that will be timed, on benign, trained-like and one random adversarial regime."""
    names = regimes(folder)
    for workload in workloads:
        for regime in {"normal", "trained" if "trained" in names else "normal", str(rng.choice(names))}:
            check_some_rows(folder, make_case(folder, workload, regime, rng), run, rng)
        domain.include(workload)


def search_counterexample(
    folder: TargetFolder,
    run: Run,
    dtype: str,
    rng: np.random.Generator,
    domain: Domain,
    *,
    examples: int,
    budget_s: float,
) -> None:
    """Hypothesis over shapes, parameters, regimes and alignment; a failure is shrunk to its smallest shape."""
    started = time.monotonic()
    secret = int(rng.integers(2**62))
    for entry in folder.target.entries:
        _search_entry(folder, entry, run, dtype, secret, domain, examples, started + budget_s)


def _search_entry(
    folder: TargetFolder,
    entry: Entry,
    run: Run,
    dtype: str,
    secret: int,
    domain: Domain,
    examples: int,
    deadline: float,
) -> None:
    failures: list[CandidateFailure] = []

    @seed(secret)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(_workloads(folder, entry, dtype), st.sampled_from(regimes(folder)), st.integers(0, 15))
    def try_one(workload: Workload, regime: str, shift: int) -> None:
        if time.monotonic() > deadline:
            return
        key = [secret, *workload.sizes.values(), shift]
        try:
            check_case(folder, make_case(folder, workload, regime, np.random.default_rng(key)), run, shift=shift)
        except CandidateFailure as failure:
            failures.append(failure)
            raise
        domain.include(workload)

    try:
        try_one()
    except CandidateFailure as failure:
        raise failure from None
    except Exception:
        if failures:  # a failure that did not come back while shrinking is still a failure
            raise failures[-1] from None
        raise


def determinism(folder: TargetFolder, run: Run, fresh: Run, dtype: str, rng: np.random.Generator) -> None:
    """The same bits twice in one process and once more in a fresh one."""
    for entry in folder.target.entries:
        workload = _by_size(_edges(folder, entry, dtype))[-1]
        case = make_case(folder, workload, "normal", rng)
        first = _run_case(case, run)
        for again, where in ((run, "in the same process"), (fresh, "in a fresh process")):
            second = _run_case(case, again)
            for name in first:
                if not torch.equal(_bits(first[name]), _bits(second[name])):
                    raise CandidateFailure(
                        Status.DETERMINISM, f"{name} differs when repeated {where}", f"{case.describe()}: {name}"
                    )


def negative_controls(folder: TargetFolder, dtype: str, rng: np.random.Generator) -> None:
    """Zeros, a constant, an input passed through and stale results must each be refused by this very judge.

    A draw may happen to have such an answer (every target ignored: the loss is zero); several draws may not.
    """
    for entry in folder.target.entries:
        workload = _by_size(_edges(folder, entry, dtype))[-1]
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


def _run_case(case: Case, run: Run) -> dict[str, Tensor]:
    w = case.workload
    return run(w.entry, w.sizes, w.parameters, case.inputs, case.output_gradients)


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8) if x.dim() else x.reshape(1).view(torch.uint8)


def _edges(folder: TargetFolder, entry: Entry, dtype: str) -> list[Workload]:
    return [w for w in folder.edges(dtype) if w.entry == entry.name]


def _by_size(workloads: list[Workload]) -> list[Workload]:
    return sorted(workloads, key=lambda w: int(np.prod(list(w.sizes.values()), dtype=np.float64)))


def _workloads(folder: TargetFolder, entry: Entry, dtype: str) -> st.SearchStrategy[Workload]:
    """Small workloads inside the contract's domain; parameters as the edge shapes have them."""
    parameters = [w.parameters for w in _edges(folder, entry, dtype)]
    axes = {axis.name: st.sampled_from(_extents(axis)) for axis in entry.axes}

    def is_admitted(sizes: dict[str, int]) -> bool:
        largest = max(int(np.prod(t.shape(sizes), dtype=np.float64)) for t in entry.inputs)
        return largest <= MAXIMUM_ELEMENTS and folder.target.holds(sizes)

    sizes = st.fixed_dictionaries(axes).filter(is_admitted)
    return st.builds(
        lambda s, p: Workload("search/drawn", entry.name, s, p, dtype), sizes, st.sampled_from(parameters or [{}])
    )


def _extents(axis: Axis) -> list[int]:
    extents = {n * axis.multiple for n in EXTENTS} | {axis.minimum}
    return sorted(n for n in extents if axis.admits(n))
