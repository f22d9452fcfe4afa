"""Accepted kernels as training calls them, in pytest-benchmark's own terms: `pytest bench/ --benchmark-only`.

    pytest bench/test_kernels.py --benchmark-only --benchmark-json out.json [--workload d4] [-k attention]

pytest-benchmark's statistics are times of one contender after the other: they say what a call costs here and now, and
two runs of them must not be compared (medians of the same program differ by 30% on a shared machine). What may be kept
and compared is in `extra_info`: the ratio to eager from rounds that take turns, its 95% interval, and the noise floor
of the A/A control in the same rounds. Nothing here gates: `kernelsearch compare` does.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from kernelsearch.cli.kernels import usable_kernels
from kernelsearch.cli.workplace import DEFAULT_GROUP, Workplace, open_workplace
from kernelsearch.dispatch.bind import bind, select
from kernelsearch.spec import Entry, TargetFolder, Workload, library_path, target_names
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.environment import load_average
from kernelsearch.timing.statistics import noise, speedup_interval
from kernelsearch.verify.case import Case, make_timed_case

WINDOW_S = 0.01
DTYPE = "float32"
ROUNDS = 10


@dataclass
class Calls:
    """Windows of one callable in this process; nobody else's work is counted against it."""

    call: Callable[[], Any]
    count: int
    waited: float = 0.0

    def window(self) -> float:
        started = time.perf_counter()
        for _ in range(self.count):
            self.call()
        return (time.perf_counter() - started) / self.count


def workloads(folder: TargetFolder, group: str) -> list[Workload]:
    return [w for w in folder.workloads(None, DTYPE) if group in (w.group, w.name)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    group = metafunc.config.getoption("--workload")
    cases = []
    for name in target_names(library_path()):
        folder = TargetFolder(library_path() / name)
        for workload in workloads(folder, group):
            passes = (
                ("forward", "forward+backward") if folder.target.entry(workload.entry).has_backward else ("forward",)
            )
            cases += [pytest.param(folder, workload, one, id=f"{workload.name}-{one}") for one in passes]
    metafunc.parametrize(("folder", "workload", "passes"), cases)


@pytest.fixture(scope="session")
def place() -> Workplace:
    return open_workplace(None)


@pytest.fixture(scope="session")
def ops(place, request) -> Callable[[TargetFolder], dict[str, Callable[..., Any]]]:
    """The accepted kernel's functions of a target, by entry; empty where it has none that may run here."""
    known: dict[str, dict[str, Callable[..., Any]]] = {}
    group = request.config.getoption("--workload").split("/")[0] or DEFAULT_GROUP

    def of(folder: TargetFolder) -> dict[str, Callable[..., Any]]:
        name = folder.target.name
        if name not in known:
            found = usable_kernels(place, [folder], DTYPE, group, is_promoted_only=False).get(name)
            eligible = select(is_promoted_only=False, digests=[found.digest] if found else [])
            binding = bind(
                [folder], place.store, device="cpu", dtype=DTYPE, admit=lambda kernel: True,
                cache_dir=place.cache_dir, is_eligible=eligible,
            )  # fmt: skip
            known[name] = dict(binding.ops) if found else {}
        return known[name]

    return of


def make_call(entry: Entry, case: Case, function: Callable[..., Any], *, backward: bool) -> Callable[[], Any]:
    parameters = dict(case.workload.parameters)
    inputs = [case.inputs[t.name].clone().requires_grad_(backward and t.name in entry.gradients) for t in entry.inputs]
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    upstream = list((case.output_gradients or {}).values())

    def forward() -> Any:
        with torch.no_grad():
            return function(*inputs, **parameters)

    def both() -> Any:
        returned = function(*inputs, **parameters)
        outputs = returned if isinstance(returned, tuple) else (returned,)
        gradients = [u if u.shape == o.shape else torch.ones_like(o) for u, o in zip(upstream, outputs, strict=True)]
        return torch.autograd.grad(outputs, wanted, gradients)

    return both if backward else forward


@pytest.mark.timeout(300)
def test_kernel(benchmark, place, ops, request, folder, workload, passes):
    """The accepted kernel, and in `extra_info` how it stands to eager."""
    entry = folder.target.entry(workload.entry)
    kernel = ops(folder).get(entry.name)
    if kernel is None:
        pytest.skip(f"{folder.target.name} has no accepted kernel that may run here")
    case, rng = make_timed_case(folder, workload, np.random.default_rng(0)), np.random.default_rng(0)
    eager = getattr(folder.module("baseline"), entry.name)
    calls = [make_call(entry, case, f, backward=passes != "forward") for f in (kernel, eager)]
    once = [Calls(call, 1) for call in calls for _ in range(2)]
    slowest = max(one.window() for one in once[1::2])
    sides = [Calls(call, max(1, round(WINDOW_S / slowest))) for call in calls]
    seconds = request.config.getoption("--kernel-seconds")
    effort = Effort(seconds=seconds, minimum_rounds=11, maximum_rounds=10**6, close_calls=1)
    samples = measure(sides[0], sides[1], lambda: None, lambda: None, effort, rng)
    ratio = speedup_interval(samples, rng)
    benchmark.group = f"{workload.name} {passes}"
    benchmark.extra_info.update(
        {key: str(value) for key, value in place.environment().items()},
        device=place.environment()["cpu"],
        target=folder.target.name,
        workload=workload.name,
        dtype=DTYPE,
        ratio=ratio.value,
        ci_low=ratio.low,
        ci_high=ratio.high,
        noise_floor=noise(samples, rng),
        paired_rounds=len(samples.candidate),
        eager_us=1e6 * float(np.median(samples.baseline + samples.control)),
        load=load_average(),
        cores_available=len(os.sched_getaffinity(0)),
    )
    benchmark.pedantic(calls[0], rounds=ROUNDS, iterations=sides[0].count, warmup_rounds=1)
