"""Whether a question is worth asking: would zeros, a constant, an input or stale results pass for its answer?

Metrics of kernels are flattered by problems with such answers (METR 2025 removed 45 tasks of KernelBench for this).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import TORCH_DTYPES, Case, make_case
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import Expected, expect, run_baseline

DRAWS = 2
# What KernelBench itself accepts, absolute and relative.
KERNELBENCH_TOLERANCE = 1e-2


def passing_fakes(folder: TargetFolder, workload: Workload, regime: str, *, is_lenient: bool) -> set[str]:
    """The fakes that pass in every draw, by our rule or, lenient, by KernelBench's tolerance."""
    rng = np.random.default_rng(0)
    accepted: set[str] | None = None
    for _ in range(DRAWS):
        case, other = (make_case(folder, workload, regime, rng) for _ in range(2))
        expected = expect(folder, case)
        passed = {
            name
            for name, fake in _fakes(case, expected, run_baseline(folder, other))
            if all(_passes(fake[n], expected, n, is_lenient=is_lenient) for n in fake)
        }
        accepted = passed if accepted is None else accepted & passed
    return accepted or set()


def ignored_inputs(folder: TargetFolder, workload: Workload, regime: str) -> list[str]:
    """The inputs that can be drawn anew without any output moving further than rounding explains."""
    rng = np.random.default_rng(1)
    case, other = (make_case(folder, workload, regime, rng) for _ in range(2))
    expected = expect(folder, case)
    ignored = []
    for name in case.inputs:
        if torch.equal(case.inputs[name], other.inputs[name]):
            continue  # a table or fixed indices: always drawn alike
        changed = expect(folder, Case(workload, regime, {**case.inputs, name: other.inputs[name]}, None))
        rounded = {n: a.exact.to(TORCH_DTYPES[workload.dtype]) for n, a in changed.answers.items()}
        if all(find_difference(value, expected.answers[n]) is None for n, value in rounded.items()):
            ignored.append(name)
    return ignored


def _fakes(case: Case, expected: Expected, stale: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    exact = {n: a.exact.to(TORCH_DTYPES[case.workload.dtype]) for n, a in expected.answers.items()}
    yield "zeros", {n: torch.zeros_like(t) for n, t in exact.items()}
    if any(t.numel() > 1 for t in exact.values()):  # a single number is its own mean
        yield "a constant", {n: torch.full_like(t, float(t.double().mean())) for n, t in exact.items()}
    yield "the results of other inputs", dict(stale)
    for name, tensor in case.inputs.items():
        if tensor.is_floating_point() and all(t.shape == tensor.shape for t in exact.values()):
            yield f"the input {name}", dict.fromkeys(exact, tensor)


def _passes(fake: Tensor, expected: Expected, name: str, *, is_lenient: bool) -> bool:
    answer = expected.answers[name]
    if is_lenient:
        tolerance = KERNELBENCH_TOLERANCE
        return torch.allclose(fake.double(), answer.exact, rtol=tolerance, atol=tolerance)
    return find_difference(fake, answer) is None
