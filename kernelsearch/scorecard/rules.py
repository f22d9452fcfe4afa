"""What public harnesses would have said: three acceptance rules on the inputs such harnesses use.

Inputs: standard normal values and output gradients, one draw; the shapes of the smallest timed group with every axis
rounded down to a power of two, 256 at most; the parameters as there. Outputs, updated inputs and gradients all count.

    allclose-1e-2, allclose-1e-4    torch.allclose against the baseline in the same dtype, rtol = atol
    flash-2x                        max |y - o| <= 2 max |b - o| + 2 max |(o + 0.3 - 0.3) - o|

with y the kernel, b the baseline and o the oracle rounded to the output's dtype; the last is the rule of
FlashAttention's tests, https://github.com/Dao-AILab/flash-attention. Whatever crashes is refused by all of them.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import make_case
from kernelsearch.verify.oracle import expect
from kernelsearch.verify.run import CandidateFailure, Run, Tensors

RULES = ("allclose-1e-2", "allclose-1e-4", "flash-2x")
MAXIMUM_AXIS = 256


def rival_verdicts(folder: TargetFolder, dtype: str, run: Run, rng: np.random.Generator) -> dict[str, bool]:
    """Whether each rule accepts the kernel behind `run`."""
    accepted = dict.fromkeys(RULES, True)
    for workload in power_of_two_workloads(folder, dtype):
        case = make_case(folder, workload, "normal", rng)
        try:
            got = run(workload.entry, workload.sizes, workload.parameters, case.inputs, case.output_gradients)
        except CandidateFailure:
            return dict.fromkeys(RULES, False)
        expected = expect(folder, case)
        exact = {name: answer.exact for name, answer in expected.answers.items()}
        for name, verdict in judge_by_rules(got, expected.baseline, exact).items():
            accepted[name] &= verdict
    return accepted


def judge_by_rules(got: Tensors, baseline: Tensors, exact: Tensors) -> dict[str, bool]:
    """Each rule's answer on one case: every tensor of the baseline must pass."""
    triples = [(got[n], baseline[n], exact[n].to(baseline[n].dtype)) for n in baseline]
    return {
        "allclose-1e-2": all(_is_close(y, b, 1e-2) for y, b, _ in triples),
        "allclose-1e-4": all(_is_close(y, b, 1e-4) for y, b, _ in triples),
        "flash-2x": all(_is_within_twice(y, b, o) for y, b, o in triples),
    }


def power_of_two_workloads(folder: TargetFolder, dtype: str) -> Iterator[Workload]:
    """The first timed group's workloads on power-of-two axes, the contract's constraints kept; each shape once."""
    every = folder.workloads(None, dtype)
    seen = set()
    for workload in every:
        if workload.group != every[0].group:
            continue
        sizes = {axis: min(MAXIMUM_AXIS, 2 ** (size.bit_length() - 1)) for axis, size in workload.sizes.items()}
        key = (workload.entry, *sizes.values(), *workload.parameters.values())
        if folder.target.holds(sizes) and key not in seen:
            seen.add(key)
            yield replace(workload, sizes=sizes)


def _is_close(y: Tensor, baseline: Tensor, tolerance: float) -> bool:
    return torch.allclose(y.float(), baseline.float(), rtol=tolerance, atol=tolerance)


def _is_within_twice(y: Tensor, baseline: Tensor, oracle: Tensor) -> bool:
    floor = 2 * _largest(oracle + 0.3 - 0.3, oracle)
    # not (error > bound): written this way so that NaN fails.
    return _largest(y, oracle) <= 2 * _largest(baseline, oracle) + floor


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
