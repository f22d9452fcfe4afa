"""Triton candidates compiled ahead of time, for GPUs that need not be here, with what each kernel takes.

The worker is a process of its own, because Triton's compiler starts programs, writes files and may hang. It is not
jailed: what keeps a candidate from doing anything there is the lint, which comes before (build/host.py).
"""

import importlib.util
import json
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelsearch.build.host import host_functions
from kernelsearch.build.resources import checked_resources
from kernelsearch.digest import digest, digest_bytes
from kernelsearch.errors import BuildError, EnvironmentMissing, Infrastructure
from kernelsearch.spec.candidate import Candidate, saved_tensors
from kernelsearch.spec.record import Resources
from kernelsearch.spec.target import Target
from kernelsearch.spec.workload import Workload

TIMEOUT_S = 300
NEEDED = "pip install 'kernelsearch[triton]' (about 0.7 GB), or use a PyTorch that brings Triton"
MAXIMUM_MESSAGE = 3000


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
    key = digest([request["source"], sorted(candidate.tunables.items()), request["calls"], list(architectures)])
    key = digest([key, triton_version(), digest_bytes(worker.read_bytes())])
    path = cache_dir / "triton" / key[:2] / f"{key}.json"
    if path.is_file():
        found = json.loads(path.read_text())
    else:
        found = _ask(worker, request)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(found))
        scratch.replace(path)
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


def _ask(worker: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(worker)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"Triton's compiler did not finish within {TIMEOUT_S} s") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        text = done.stderr.strip()[-MAXIMUM_MESSAGE:]
        if done.returncode < 0:
            raise BuildError(f"Triton's compiler died by signal {-done.returncode}: {text}") from None
        raise Infrastructure(f"the Triton worker ended with status {done.returncode}: {text}") from None
    return found
