"""`kernelsearch doctor`: what this machine has and lacks."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console

from kernelsearch.build import cpp
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.build.openmp import openmp_library
from kernelsearch.build.triton_ahead import triton_version
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.errors import KernelSearchError
from kernelsearch.sandbox.protection import NEEDED, Unprotected, protection_names
from kernelsearch.sandbox.session import Session, native_command
from kernelsearch.spec import Axis, Entry, Target, TensorSpec, read_candidate

EXTRAS = {"nanochat": ("pyarrow", "rustbpe", "tiktoken")}
_NAMESPACES = (
    "candidates are kept off {what} by the system-call filter alone; allow user namespaces (sysctl "
    "user.max_user_namespaces), or start as root"
)
# What the lack of a protection that is not essential means, and how to get it.
REMEDIES = {
    "own user id": "candidates run as you; start as root to give each a user of its own",
    "own processes (pid namespace)": _NAMESPACES.format(what="other processes"),
    "own network (net, ipc, uts namespaces)": _NAMESPACES.format(what="the network"),
    "empty root folder (mount namespace)": (
        "candidates are kept off files by Landlock alone; allow mounts of proc in user namespaces, or start as root"
    ),
    "no processor clock": "a candidate may read the time with an instruction that the lint cannot see; x86-64 only",
}
REFUSED = "untrusted candidates are refused here"
PROBE = (
    "void probe_forward(const scalar_t* x, scalar_t* y, int64_t N) { for (int64_t i = 0; i < N; i++) y[i] = x[i]; }\n"
)


@dataclass(frozen=True)
class Finding:
    """One line of the answer; `remedy` is the command or fact that helps where `is_ok` is false."""

    name: str
    is_ok: bool
    value: str
    remedy: str = ""


def run() -> tuple[dict[str, Any], int]:
    place = open_workplace(None)
    findings = [_python(), _compiler(), _torch(), _allocator(place), _gpu(), _triton()]
    if findings[1].is_ok:
        findings += _sandbox(place)
    findings += [_extra(name, modules) for name, modules in EXTRAS.items()]
    findings.append(_training())
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[green]ok[/green]     " if finding.is_ok else "[yellow]missing[/yellow]"
        console.print(f"{mark} {finding.name}: {finding.value}" + (f" - {finding.remedy}" if finding.remedy else ""))
    essential = all(f.is_ok for f in findings[:3]) and REFUSED not in {f.value for f in findings}
    return {"findings": [vars(f) for f in findings], "usable": essential}, 0 if essential else 1


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "python", sys.version_info >= (3, 11), version, "" if sys.version_info >= (3, 11) else "use 3.11 or 3.12"
    )


def _compiler() -> Finding:
    return _try("C++ compiler", cpp.compiler_identity)


def _torch() -> Finding:
    found = _try("OpenMP", openmp_library)
    value = f"{torch.__version__}, {torch.get_num_threads()} threads, OpenMP {found.value}"
    return Finding("torch", found.is_ok, value, found.remedy)


def _allocator(place: Workplace) -> Finding:
    if place.allocator_tuned:
        return Finding("allocator", True, "glibc keeps freed memory, for every contender")
    return Finding("allocator", False, "not glibc", "large fresh tensors may page-fault on every call")


def _gpu() -> Finding:
    if torch.cuda.is_available():
        return Finding("GPU", True, torch.cuda.get_device_name())
    return Finding("GPU", False, "none seen by torch", "C++ kernels on the CPU work without one")


def _triton() -> Finding:
    return _try("Triton, for kernels on GPUs", triton_version)


def _sandbox(place: Workplace) -> list[Finding]:
    """Compiles and runs a trivial kernel as if it were untrusted, and reads which protections hold."""
    entry = Entry(
        "probe", (Axis("N"),), (TensorSpec("x", ("N",)),), (TensorSpec("y", ("N",)),), lambda sizes, parameters: 0.0
    )
    target = Target("probe", "copies", (entry,), {"float32": 2.0**-24})
    refusal: list[Finding] = []
    try:
        compile_jailed(
            jail_command(place.cache_dir),
            {"probe.cpp": b"int probe;"},
            [(cpp.compiler(), "-c", "probe.cpp", "-o", "probe.o")],
            "probe.o",
        )
        artifact = cpp.build(target, read_candidate("probe", "cpp", PROBE, "doctor"), "float32", place.cache_dir)
        with Session(
            native_command(place.cache_dir),
            artifact.path.read_bytes(),
            ["ks_call_probe_forward"],
            region_bytes=4096,
            threads=1,
        ) as session:
            held = session.protections
    except Unprotected as error:
        held = error.held
        refusal = [Finding("sandbox", False, REFUSED, NEEDED)]
    except KernelSearchError as error:
        return [Finding("sandbox", False, REFUSED, str(error))]
    confined = Finding("sandbox, compiler in a jail", True, "holds")
    return [*refusal, confined, *(_protection(name, is_held) for name, is_held in protection_names(held).items())]


def _protection(name: str, is_held: bool) -> Finding:
    if is_held:
        return Finding(f"sandbox, {name}", True, "holds")
    return Finding(f"sandbox, {name}", False, "absent", REMEDIES.get(name, NEEDED))


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    remedy = f"pip install 'kernelsearch[{name}]'" if missing else ""
    return Finding(f"extra {name}", not missing, ", ".join(missing or modules), remedy)


def _training() -> Finding:
    found = importlib.util.find_spec("nanochat") is not None and importlib.util.find_spec("nanochat.worker") is not None
    remedy = "" if found else "train and race need this project's source tree"
    return Finding("nanochat", found, "importable" if found else "not importable", remedy)


def _try(name: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, ask())
    except KernelSearchError as error:
        return Finding(name, False, "none", str(error))
