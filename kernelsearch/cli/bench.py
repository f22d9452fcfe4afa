"""`kernelsearch bench`: accepted kernels as training calls them, against everything else, in one interleaved run.

Unlike the judge's clock this goes through the registered operator and autograd, in one process: it is what a training
step pays. Ratios come from windows of the same round; every contender gets the same inputs under one allocator.
"""

import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from kernelsearch.cli.kernels import Compositions, parts_of, served_by, usable_kernels
from kernelsearch.cli.workplace import DEFAULT_GROUP, Workplace, chosen_workloads, open_workplace
from kernelsearch.dispatch.bind import bind, select
from kernelsearch.dispatch.store import Accepted
from kernelsearch.report.text import open_console
from kernelsearch.spec import Entry, TargetFolder, Workload
from kernelsearch.timing.environment import cpu_model
from kernelsearch.timing.roofline import Peaks, measured_peaks
from kernelsearch.timing.statistics import bootstrap_medians
from kernelsearch.verify.case import Case, make_timed_case

WINDOW_S = 0.02
MINIMUM_ROUNDS = 11
SETTLE_S = 0.004
KERNEL = "kernel"


@dataclass(frozen=True)
class Contender:
    """A callable with the training's arguments, and its samples of seconds per call."""

    name: str
    function: Callable[..., Any]
    samples: list[float]


def run(
    names: tuple[str, ...], group: str | None, dtype: str, seconds: float, threads: int | None, *, compiled: bool
) -> tuple[dict[str, Any], int]:
    from kernelsearch.build import cpp

    place = open_workplace(threads)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place.cache_dir / "inductor"))
    folders = [place.target(name) for name in names] if names else place.folders()
    # PyTorch's bfloat16 is a weak rival on CPUs without instructions for it: its ratio never stands alone.
    dtypes = [dtype] if dtype == "float32" else ["float32", dtype]
    parts = _folders_of_parts(place, folders)
    everybody = [*folders, *parts]
    kernels = {d: usable_kernels(place, everybody, d, group or DEFAULT_GROUP, is_promoted_only=False) for d in dtypes}
    pairs = [(folder, d, kernels[d].get(folder.target.name)) for folder, d in product(everybody, dtypes)]
    bound = {(f.target.name, d): _kernel_functions(place, f, accepted, d) for f, d, accepted in pairs}
    peaks = measured_peaks(place.cache_dir, cpp.cpu_identity())
    console = open_console(stderr=True)
    rows: list[dict[str, Any]] = []
    for folder, d, accepted in pairs[: len(folders) * len(dtypes)]:
        functions = bound[folder.target.name, d]
        others = {name: op for (_, other), ops in bound.items() if other == d for name, op in ops.items()}
        found: list[dict[str, Any]] = []
        for workload in chosen_workloads(folder, group, d):
            console.print(f"{workload.name} {d}", markup=False)
            entry = folder.target.entry(workload.entry)
            compositions = _compositions(folder, entry, everybody).items()
            rivals = {f"{name} kernel": compose(others[name]) for name, compose in compositions if name in others}
            found += _bench_workload(folder, workload, accepted, functions, rivals, peaks, seconds, compiled=compiled)
        if accepted is not None:
            behind = find_rivals_ahead(found, accepted.behind)
            if behind != accepted.behind:
                place.store.set_behind(accepted, behind)
            for name, speedup in behind.items():
                console.print(f"{folder.target.name} is not promoted: {speedup:.2f}x of {name}", markup=False)
        rows += found
    console.print(_table(rows, cpu_model(), place.threads))
    return {"device": cpu_model(), "threads": place.threads, "seconds": seconds, "results": rows}, 0


def find_rivals_ahead(rows: Sequence[Mapping[str, Any]], known: Mapping[str, float]) -> dict[str, float]:
    """Speedup over each rival whose whole interval is below 1 in the pass that training runs, by workload and rival.

    `known` are those of earlier runs, which stay unless they were measured again.
    """
    passes = {row["workload"]: row for row in rows}  # the longest pass of a workload is its last row
    measured = {f"{w} {rival}": versus for w, row in passes.items() for rival, versus in row["vs"].items()}
    ahead = {name: versus["speedup"] for name, versus in measured.items() if versus["high"] < 1.0}
    return {name: speedup for name, speedup in known.items() if name not in measured} | ahead


def _folders_of_parts(place: Workplace, folders: Sequence[TargetFolder]) -> list[TargetFolder]:
    """The other targets whose kernels are rivals of these: a kernel for a span has to beat kernels for its parts."""
    wanted = {name for folder in folders for name in parts_of(folder)}
    measured = {entry.name for folder in folders for entry in folder.target.entries}
    given = {folder.target.name for folder in folders}
    return [
        folder
        for folder in place.folders()
        if folder.target.name not in given
        and (wanted & {entry.name for entry in folder.target.entries} or measured & served_by(folder).keys())
    ]


def _compositions(folder: TargetFolder, entry: Entry, everybody: Sequence[TargetFolder]) -> Compositions:
    """By entry of another target: its kernel as a rival of this entry's."""
    serving = {
        own.name: served_by(other)[entry.name]
        for other in everybody
        for own in other.target.entries
        if entry.name in served_by(other)
    }
    return {**parts_of(folder), **serving}


def _kernel_functions(
    place: Workplace, folder: TargetFolder, accepted: Accepted | None, dtype: str
) -> Mapping[str, Callable[..., Any]]:
    if accepted is None:
        return {}
    binding = bind(
        [folder],
        place.store,
        device="cpu",
        dtype=dtype,
        admit=lambda kernel: True,
        cache_dir=place.cache_dir,
        is_eligible=select(is_promoted_only=False, digests=[accepted.digest]),
    )
    return binding.ops


def _bench_workload(
    folder: TargetFolder,
    workload: Workload,
    accepted: Accepted | None,
    kernels: Mapping[str, Callable[..., Any]],
    composed: Mapping[str, Callable[..., Any]],
    peaks: Peaks,
    seconds: float,
    *,
    compiled: bool,
) -> list[dict[str, Any]]:
    entry = folder.target.entry(workload.entry)
    baseline = folder.module("baseline")
    eager = getattr(baseline, entry.name)
    rivals = getattr(baseline, "RIVALS", {})
    functions = {"eager": eager}
    functions |= {name: rival for name, rival in rivals.items() if _takes(rival, entry)}
    functions |= composed
    if compiled:
        functions["compile"] = torch.compile(eager, dynamic=False)
    if entry.name in kernels:
        functions = {KERNEL: kernels[entry.name], **functions}
    case = make_timed_case(folder, workload, np.random.default_rng())
    passes = ["forward", "forward+backward"] if entry.has_backward else ["forward"]
    return [
        _compare(entry, case, workload, functions, accepted, peaks, seconds, backward=name != "forward")
        for name in passes
    ]


def _compare(
    entry: Entry,
    case: Case,
    workload: Workload,
    functions: Mapping[str, Callable[..., Any]],
    accepted: Accepted | None,
    peaks: Peaks,
    seconds: float,
    *,
    backward: bool,
) -> dict[str, Any]:
    contenders = [Contender(name, function, []) for name, function in functions.items()]
    calls = {c.name: _make_call(entry, case, c.function, backward=backward) for c in contenders}
    counts = {name: _calls_per_window(call) for name, call in calls.items()}
    rng = np.random.default_rng(0)
    started = time.monotonic()
    while len(contenders[0].samples) < MINIMUM_ROUNDS or time.monotonic() - started < seconds:
        for index in rng.permutation(len(contenders)):
            time.sleep(SETTLE_S)
            contender = contenders[index]
            contender.samples.append(_window(calls[contender.name], counts[contender.name]))
    light_us = peaks.speed_of_light_us(
        entry.work(workload.sizes, workload.parameters, workload.dtype, backward=backward)
    )
    medians = {c.name: 1e6 * float(np.median(c.samples)) for c in contenders}
    first = contenders[0]
    return {
        "target": case.workload.entry,
        "workload": workload.name,
        "dtype": workload.dtype,
        "pass": "forward+backward" if backward else "forward",
        "kernel": accepted.digest[:12] if accepted and first.name == KERNEL else None,
        "promoted": bool(accepted and accepted.is_promoted),
        "us": medians,
        "speed_of_light": light_us / medians[first.name],
        "vs": {c.name: _versus(first, c, rng) for c in contenders[1:]} if first.name == KERNEL else {},
    }


def _takes(rival: Callable[..., Any], entry: Entry) -> bool:
    """Whether a rival serves this entry: a target's rivals are told apart by their arguments."""
    try:
        inspect.signature(rival).bind(*entry.inputs, **{p.name: 0 for p in entry.parameters})
    except TypeError:
        return False
    return True


def _make_call(entry: Entry, case: Case, function: Callable[..., Any], *, backward: bool) -> Callable[[], Any]:
    parameters = dict(case.workload.parameters)
    inputs = [case.inputs[t.name].clone().requires_grad_(backward and t.name in entry.gradients) for t in entry.inputs]
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    upstream = list((case.output_gradients or {}).values())

    def forward() -> Any:
        with torch.no_grad():
            return function(*inputs, **parameters)

    def both() -> Any:
        returned = function(*inputs, **parameters)
        outputs: tuple[Tensor, ...] = returned if isinstance(returned, tuple) else (returned,)
        gradients = [u if u.shape == o.shape else torch.ones_like(o) for u, o in zip(upstream, outputs, strict=True)]
        return torch.autograd.grad(outputs, wanted, gradients)

    return both if backward else forward


def _calls_per_window(call: Callable[[], Any]) -> int:
    call()
    return max(1, round(WINDOW_S / max(1e-7, _window(call, 2))))


def _window(call: Callable[[], Any], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def _versus(kernel: Contender, rival: Contender, rng: np.random.Generator) -> dict[str, float]:
    ratios = np.log(rival.samples) - np.log(kernel.samples)
    low, high = np.exp(np.quantile(bootstrap_medians(ratios, rng), (0.025, 0.975)))
    return {"speedup": float(np.exp(np.median(ratios))), "low": float(low), "high": float(high)}


def _table(rows: list[dict[str, Any]], device: str, threads: int) -> Table:
    table = Table(
        "workload", "pass", "kernel", "us", "of light", "against", title=f"{device}, {threads} threads", box=None
    )
    for row in rows:
        name = f"{row['target']} {row['workload']} {row['dtype']}"
        first = next(iter(row["us"].values()))
        against = ", ".join(f"{n} {v['speedup']:.2f}x [{v['low']:.2f}, {v['high']:.2f}]" for n, v in row["vs"].items())
        others = ", ".join(f"{n} {us:.0f} us" for n, us in row["us"].items())
        table.add_row(
            name, row["pass"], row["kernel"] or "-", f"{first:.0f}", f"{row['speed_of_light']:.0%}", against or others
        )
    return table
