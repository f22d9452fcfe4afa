"""A GPU seed against its rivals: eager, compiled, the target's own, and what is installed.

    python bench/gpu_rivals.py TARGET/SEED/LANGUAGE... [--group d12] [--dtype bfloat16] [--place cuda] [--seconds 0.5]

Prints a line {"begun": ...} a seed and one JSON document a workload; `--warm` compiles everything and times nothing.
All contenders take turns within a round, each finds its inputs cold, and each is replayed as a CUDA graph where it can
be captured. A contender that fails is reported with its error. Ratios are of paired windows.
"""

import argparse
import gc
import importlib.util
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import torch

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.build.on_device import load_candidate
from kernelsearch.sandbox.gpu.device import Device, measure_peaks, open_device
from kernelsearch.spec import Candidate, TargetFolder, Workload, library_path, read_candidate, saved_tensors
from kernelsearch.timing.statistics import bootstrap_medians
from kernelsearch.verify.case import make_timed_case
from kernelsearch.verify.oracle import contract_baseline

MINIMUM_ROUNDS, MAXIMUM_ROUNDS = 12, 200
Tensors = dict[str, Any]
Call = Callable[[], Any]


def seed_call(folder: TargetFolder, candidate: Candidate, workload: Workload, tensors: Tensors) -> Call:
    """The seed's own host functions, forward and backward."""
    entry = folder.target.entry(workload.entry)
    passed = host_functions(folder.target, candidate.declared)
    saved = [t.name for t in saved_tensors(candidate.declared, folder.target, entry.name)]
    found = load_candidate(candidate.source, candidate.language, dict(candidate.tunables), workload.dtype)
    numbers = {**workload.sizes, **workload.parameters}

    def call() -> Tensors:
        known: Tensors = numbers | tensors
        names = [*(t.name for t in entry.outputs), *saved]
        for way in ("forward", "backward") if entry.has_backward else ("forward",):
            function = f"{entry.name}_{way}"
            returned = found[function](*(known[name] for name in passed[function]))
            listed = [] if returned is None else list(returned) if isinstance(returned, tuple) else [returned]
            known |= dict(zip(names, listed, strict=True))
            names = [t.name for t in entry.input_gradients()]
        return known

    return call


def torch_call(folder: TargetFolder, workload: Workload, tensors: Tensors, function: Callable[..., Any]) -> Call:
    """A differentiable function of the contract's inputs, with autograd where the target has gradients."""
    entry = folder.target.entry(workload.entry)
    inputs = [tensors[t.name].detach().requires_grad_(t.name in entry.gradients) for t in entry.inputs]
    wanted = [t for t in inputs if t.requires_grad]
    upstream = [tensors[t.name] for t in entry.output_gradients()] if entry.has_backward else []

    def call() -> Any:
        returned = function(*inputs, **workload.parameters)
        if not wanted:
            return returned
        outputs = returned if isinstance(returned, tuple) else (returned,)
        return torch.autograd.grad(outputs, wanted, upstream)

    return call


def rivals_of(folder: TargetFolder, workload: Workload) -> dict[str, Callable[..., Any]]:
    """By name, functions of the contract's inputs."""
    entry, baseline = folder.target.entry(workload.entry), folder.module("baseline")
    by_name = contract_baseline(folder, entry)

    def eager(*inputs: Any, **parameters: Any) -> Any:
        found = by_name(dict(zip((t.name for t in entry.inputs), inputs, strict=True)), parameters)
        return tuple(found.values())

    found: dict[str, Callable[..., Any]] = {"eager": eager, "compile": torch.compile(eager, dynamic=False)}
    for name, rival in getattr(baseline, "RIVALS", {}).items():
        try:
            inspect.signature(rival).bind(*entry.inputs, **{p.name: 0 for p in entry.parameters})
        except TypeError:
            continue
        found[name] = rival
    return found | installed_rivals(workload)


def installed_rivals(workload: Workload) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    if workload.entry == "attention":
        found["FlexAttention"] = flex_attention(workload)
        if importlib.util.find_spec("flash_attn") is not None:
            found["FlashAttention"] = flash_attention
    if workload.entry == "adamw_step":
        found["fused"] = fused_adamw
    if workload.entry == "softcap_cross_entropy" and importlib.util.find_spec("liger_kernel") is not None:
        found["Liger"] = liger_cross_entropy
    return found


def flex_attention(workload: Workload) -> Callable[..., Any]:
    T, reach = workload.sizes["T"], int(workload.parameters["window"])

    @cache
    def prepared() -> tuple[Any, Any]:
        """At the first call, so that a version without it costs this rival alone."""
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        mask = create_block_mask(lambda b, h, i, j: (i >= j) & (i - j <= reach), None, None, T, T, device="cuda")
        return torch.compile(flex_attention, dynamic=False), mask

    def attend(q: Any, k: Any, v: Any, window: int) -> Any:
        compiled, mask = prepared()
        swapped = (x.transpose(1, 2) for x in (q, k, v))
        return compiled(*swapped, block_mask=mask, enable_gqa=q.shape[2] != k.shape[2]).transpose(1, 2)

    return attend


def flash_attention(q: Any, k: Any, v: Any, window: int) -> Any:
    from flash_attn import flash_attn_func

    return flash_attn_func(q, k, v, causal=True, window_size=(min(window, q.shape[1]), 0))


def fused_adamw(
    p: Any, g: Any, m: Any, v: Any, *, step: int, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> None:
    """baseline.py's rival, whose count of steps has to lie where the parameters do."""
    count = torch.full((), float(step), device=p.device)
    rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": weight_decay, "eps": eps}
    with torch.no_grad():
        torch._fused_adamw_([p], [g], [m], [v], [], [count], amsgrad=False, maximize=False, **rates)


def liger_cross_entropy(logits: Any, targets: Any) -> Any:
    from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction

    # input, target, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap
    returned = LigerCrossEntropyFunction.apply(logits, targets, None, -1, 0.0, 0.0, "none", 15.0)
    return returned[0] if isinstance(returned, tuple) else returned


def compare(calls: dict[str, Call], device: Device, seconds: float) -> dict[str, Any]:
    """Microseconds of each contender, and the first one's speedup over the others with its 95% interval.

    Who cannot be captured pays for its launches: against those, the first one's launches are timed too.
    """
    works: dict[str, Call] = {}
    errors: dict[str, str] = {}
    graphs: list[str] = []
    for name, call in calls.items():
        try:
            call()
            device.synchronize()
            replay = device.capture(call)
            works[name] = replay or call
            graphs += [name] if replay is not None else []
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"[:300]
    first = next(iter(calls))
    launched = f"{first}, launched"
    if first in graphs and len(graphs) < len(works):
        works[launched] = calls[first]
    rng, samples = np.random.default_rng(0), {name: [] for name in works}
    started = time.monotonic()
    rounds = 0
    while rounds < MINIMUM_ROUNDS or (rounds < MAXIMUM_ROUNDS and time.monotonic() - started < seconds):
        for name in rng.permutation(list(works)):
            device.cool()
            samples[str(name)].append(device.time(works[str(name)])[0])
        rounds += 1
    answer: dict[str, Any] = {"rounds": rounds, "graphs": graphs, "errors": errors, "vs": {}}
    answer["us"] = {name: 1e6 * float(np.median(s)) for name, s in samples.items()}
    for name in samples if first in samples else ():
        if name not in (first, launched):
            own = samples[first] if name in graphs or first not in graphs else samples[launched]
            ratios = np.log(samples[name]) - np.log(own)
            low, high = np.exp(np.quantile(bootstrap_medians(ratios, rng), (0.025, 0.975)))
            answer["vs"][name] = {"speedup": float(np.exp(np.median(ratios))), "low": float(low), "high": float(high)}
    return answer


def contenders(folder: TargetFolder, candidate: Candidate, workload: Workload, device: Device) -> dict[str, Call]:
    """The seed first, then its rivals, all on the same tensors."""
    case = make_timed_case(folder, workload, np.random.default_rng(0))
    given = dict(case.inputs) | dict(case.output_gradients or {})
    tensors = {name: tensor.to(device.place) for name, tensor in given.items()}
    with torch.no_grad():
        calls = {"seed": seed_call(folder, candidate, workload, tensors)}
    for name, function in rivals_of(folder, workload).items():
        if device.place == "cuda" or name == "eager":
            calls[name] = torch_call(folder, workload, tensors, function)
    return calls


def warm(calls: dict[str, Call], device: Device) -> None:
    """Compiles what is compiled at the first call, into caches that the next process reads."""
    for call in calls.values():
        with suppress(Exception):  # the process that times it will say so
            call()
            device.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="+", metavar="TARGET/SEED/LANGUAGE")
    parser.add_argument("--group", default="d12")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--place", default="cuda")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each workload")
    parser.add_argument("--warm", action="store_true")
    asked = parser.parse_args()
    device = open_device(asked.place)
    peaks = {} if asked.warm else measure_peaks(device)
    for name in asked.seeds:
        say({"begun": name})
        target, seed, language = name.split("/")
        named = {"target": target, "seed": seed, "language": language}
        try:
            for row in rows_of(target, seed, language, device, peaks, asked):
                say(row | named)
        except Exception as error:
            say(named | {"error": f"{type(error).__name__}: {error}"[:600]})
        torch._dynamo.reset()
        gc.collect()
        device.synchronize()  # raises where the device was left broken, and ends this process


def rows_of(
    target: str, seed: str, language: str, device: Device, peaks: dict[str, float], asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    folder = TargetFolder(library_path() / target)
    source = folder.seeds(language)[seed]
    candidate = read_candidate(target, language, source, seed)
    lint_host(source, language, host_functions(folder.target, candidate.declared))
    for workload in folder.workloads(asked.group, asked.dtype):
        calls = contenders(folder, candidate, workload, device)
        if asked.warm:
            warm(calls, device)
            continue
        found = compare(calls, device, asked.seconds)
        entry = folder.target.entry(workload.entry)
        work = entry.work(workload.sizes, workload.parameters, workload.dtype, backward=entry.has_backward)
        flops = max(peaks["bfloat16_flops"], peaks["float32_flops"])
        light_us = 1e6 * max(work.flops / flops, work.bytes / peaks["bytes_per_s"])
        named = {"workload": workload.name, "dtype": workload.dtype, "digest": candidate.digest}
        yield {**named, **found, "speed_of_light_us": light_us}


def say(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
