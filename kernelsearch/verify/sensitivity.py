"""Relations that hold for every target: one changed number moves what depends on it and nothing else; a NaN shows.

What depends on a number is what the oracle and its magnitudes move when it changes. A kernel that looks its answer up
by some of its inputs, or that reads where it must not, is caught here whatever the operation is.
"""

from dataclasses import replace

import numpy as np
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.record import Status
from kernelsearch.verify.case import Case, edges, make_case
from kernelsearch.verify.check import compare_all, have_same_bits, run_case
from kernelsearch.verify.oracle import Expected, expect
from kernelsearch.verify.run import CandidateFailure, Run, Tensors

CHANGES_PER_TENSOR = 3
LARGEST_TENSOR = 10_000


def check_sensitivity(folder: TargetFolder, run: Run, dtype: str, rng: np.random.Generator) -> None:
    """A few changes in every input and output gradient of one edge shape per entry, each followed by the rule."""
    for entry in folder.target.entries:
        choices = [
            w
            for w in edges(folder, entry, dtype)
            if 16 < max(np.prod(t.shape(w.sizes), dtype=int) for t in entry.inputs) <= LARGEST_TENSOR
        ]
        if not choices:
            continue
        case = make_case(folder, choices[int(rng.integers(len(choices)))], "normal", rng)
        got, expected = run_case(case, run), expect(folder, case)
        compare_all(folder, case, got, expected)
        for name in (*case.inputs, *(case.output_gradients or ())):
            for _ in range(CHANGES_PER_TENSOR):
                _check_one_change(folder, case, got, expected, name, run, rng)


def _check_one_change(
    folder: TargetFolder,
    case: Case,
    got: Tensors,
    expected: Expected,
    name: str,
    run: Run,
    rng: np.random.Generator,
) -> None:
    old = {**case.inputs, **(case.output_gradients or {})}[name]
    place = int(rng.integers(old.numel()))
    changed = _with(case, name, _changed(old, place, rng))
    after, now = run_case(changed, run), expect(folder, changed)
    compare_all(folder, changed, after, now)
    depends = {n: now.answers[n].exact != expected.answers[n].exact for n in now.answers}
    for result, moved in depends.items():
        # Where terms cancel, the exact result stays but its roundings move, and so does the condition magnitude.
        touched = moved | (now.answers[result].condition != expected.answers[result].condition)
        if not have_same_bits(got[result][~touched], after[result][~touched]):
            raise _broken(case, f"{result} changes where it does not depend on the one changed number of {name}")
    if old.is_floating_point() and any(bool(moved.any()) for moved in depends.values()):
        poisoned = run_case(_with(case, name, _put(old, place, float("nan"))), run)
        if not any(bool(poisoned[n][moved].isnan().any()) for n, moved in depends.items()):
            raise _broken(case, f"a NaN in {name} shows in no result that depends on it")


def _changed(old: Tensor, place: int, rng: np.random.Generator) -> Tensor:
    """Floats become 2 |x| + 3, which is in every domain and far away; of integers another one of the tensor."""
    if old.is_floating_point():
        return _put(old, place, 2 * abs(float(old.view(-1)[place])) + 3)
    return _put(old, place, int(old.view(-1)[int(rng.integers(old.numel()))]))


def _put(old: Tensor, place: int, value: float) -> Tensor:
    new = old.clone()
    new.view(-1)[place] = value
    return new


def _with(case: Case, name: str, value: Tensor) -> Case:
    if name in case.inputs:
        return replace(case, inputs={**case.inputs, name: value})
    return replace(case, output_gradients={**(case.output_gradients or {}), name: value})


def _broken(case: Case, what: str) -> CandidateFailure:
    return CandidateFailure(Status.PROPERTY, f"breaks a relation: {what}", f"{case.describe()}: {what}")
