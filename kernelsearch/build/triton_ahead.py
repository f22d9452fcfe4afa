"""Triton candidates compiled ahead of time, for GPUs that need not be here, with what each kernel takes."""

import importlib.util
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelsearch.build.ahead import ask_ahead
from kernelsearch.build.host import host_functions
from kernelsearch.build.resources import checked_resources
from kernelsearch.errors import EnvironmentMissing
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.record import Resources
from kernelsearch.spec.target import Target
from kernelsearch.spec.workload import Workload

NEEDED = "pip install 'kernelsearch[triton]' (about 0.7 GB), or use a PyTorch that brings Triton"


@cache
def triton_version() -> str:
    """Raises EnvironmentMissing where Triton is not installed."""
    try:
        if importlib.util.find_spec("triton") is not None:
            return version("triton")
    except PackageNotFoundError:
        pass
    raise EnvironmentMissing(f"triton is not installed: {NEEDED}")


def compile_ahead(
    target: Target,
    candidate: Candidate,
    workloads: tuple[Workload, ...],
    architectures: tuple[int, ...],
    cache_dir: Path,
) -> tuple[Resources, ...]:
    """What every kernel takes, launched for these workloads; the first architecture's first.

    Raises BuildError for what does not compile or fit anywhere, or spills more than the file admits.
    """
    request = {
        "source": candidate.source,
        "tunables": dict(candidate.tunables),
        "calls": [call for workload in workloads for call in host_calls(target, candidate, workload)],
        "architectures": list(architectures),
    }
    worker = Path(__file__).with_name("triton_worker.py")
    found = ask_ahead(worker, request, triton_version(), cache_dir)
    return checked_resources(candidate.source, found)


def host_calls(target: Target, candidate: Candidate, workload: Workload) -> list[dict[str, Any]]:
    """The host functions of the workload's entry with shapes for tensors, as the worker wants them."""
    entry = target.entry(workload.entry)
    saved = saved_tensors(candidate.declared, target, entry.name)
    passed = host_functions(target, candidate.declared)
    sizes = workload.sizes
    ways = {f"{entry.name}_forward": entry.inputs}
    if entry.has_backward:
        ways[f"{entry.name}_backward"] = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
    calls = []
    for function, tensors in ways.items():
        named = {t.name for t in tensors}
        numbers = {**sizes, **workload.parameters}
        calls.append(
            {
                "function": function,
                "tensors": [[list(t.shape(sizes)), t.element(workload.dtype)] for t in tensors],
                "numbers": {name: numbers[name] for name in passed[function] if name not in named},
            }
        )
    return calls
