"""A search for a counterexample: Hypothesis draws shapes, parameters, kinds of values and alignment."""

import time

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Axis, Entry
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case, edges, make_case, regimes
from kernelsearch.verify.check import Domain, compare_case, shrunk
from kernelsearch.verify.run import CandidateFailure, Run

EXTENTS = (1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97, 127, 128, 129, 160, 255, 256, 257)
MAXIMUM_ELEMENTS = 60_000


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
    """Raises CandidateFailure with the simplest form of the first failure that is found."""
    deadline = time.monotonic() + budget_s
    secret = int(rng.integers(2**62))
    for entry in folder.target.entries:
        failed = _search_entry(folder, entry, run, dtype, secret, domain, examples, deadline)
        if failed is not None:
            case, shift, failure = failed
            raise shrunk(folder, case, run, failure, shift)


def _search_entry(
    folder: TargetFolder,
    entry: Entry,
    run: Run,
    dtype: str,
    secret: int,
    domain: Domain,
    examples: int,
    deadline: float,
) -> tuple[Case, int, CandidateFailure] | None:
    failures: list[tuple[Case, int, CandidateFailure]] = []

    # Shrinking is our own (shrink.py): it is bounded, and goes on from shapes to values.
    @seed(secret)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(_workloads(folder, entry, dtype), st.sampled_from(regimes(folder)), st.integers(0, 15))
    def try_one(workload: Workload, regime: str, shift: int) -> None:
        if failures or time.monotonic() > deadline:
            return
        key = [secret, *workload.sizes.values(), shift]
        case = make_case(folder, workload, regime, np.random.default_rng(key))
        try:
            compare_case(folder, case, run, domain, shift=shift)
        except CandidateFailure as failure:
            failures.append((case, shift, failure))
            return
        domain.include(workload)

    try_one()
    return failures[0] if failures else None


def _workloads(folder: TargetFolder, entry: Entry, dtype: str) -> st.SearchStrategy[Workload]:
    """Small workloads inside the contract's domain; parameters as the edge shapes have them."""
    parameters = [w.parameters for w in edges(folder, entry, dtype)]
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
