"""`kernelsearch doctor`: what this machine has and lacks."""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from kernelsearch.build import cpp
from kernelsearch.build.cuda_ahead import NEEDED as NEEDED_CUDA
from kernelsearch.build.cuda_ahead import cuda_compiler
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.build.openmp import openmp_library
from kernelsearch.build.triton_ahead import triton_version
from kernelsearch.cli.extras import install_command, installed_extras, with_exact_commands
from kernelsearch.cli.workplace import Workplace, open_workplace
from kernelsearch.errors import KernelSearchError
from kernelsearch.sandbox.protection import NEEDED, Unprotected, protection_names
from kernelsearch.sandbox.session import Session, native_command
from kernelsearch.spec import Axis, Entry, Target, TensorSpec, read_candidate

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
VECTORS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "asimd": "NEON",
    "sve": "SVE",
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
    findings = [_python(), _compiler(), _torch()]
    has_compiler = findings[1].is_ok
    findings += [_processor(), _allocator(place), _gpu(), _driver(), _triton(), _cuda()]
    if has_compiler:
        findings += _sandbox(place)
    findings += [_extra(name, found) for name, found in installed_extras().items()]
    findings.append(_training())
    findings = [replace(finding, remedy=with_exact_commands(finding.remedy)) for finding in findings]
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for finding in findings:
        mark = "[green]ok[/green]     " if finding.is_ok else "[yellow]missing[/yellow]"
        text = f"{finding.name}: {finding.value}" + (f" - {finding.remedy}" if finding.remedy else "")
        console.print(f"{mark} {escape(text)}")
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


def _cuda() -> Finding:
    found = cuda_compiler()
    name = "CUDA C compiled without a GPU"
    return Finding(name, True, " ".join((found[0], found[2]))) if found else Finding(name, False, "no", NEEDED_CUDA)


def _processor() -> Finding:
    """The model and the widest vectors that kernels compiled here use."""
    cores = f"{len(os.sched_getaffinity(0))} cores for this process"
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return Finding("processor", True, f"{platform.machine()}, {cores}")
    known = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    flags = set(known.get("flags", known.get("Features", "")).split())
    vectors = [name for flag, name in VECTORS.items() if flag in flags]
    value = f"{known.get('model name', platform.machine())}, {cores}, {', '.join(vectors) or 'no vectors that we name'}"
    return Finding("processor", True, value)


def _driver() -> Finding:
    """The GPU's driver and compiler, whether or not torch can use them."""
    driver = Path("/proc/driver/nvidia/version")
    found = driver.read_text().splitlines()[0].partition("Kernel Module")[2].split()[:1] if driver.is_file() else []
    compiler = shutil.which("nvcc")
    value = f"NVIDIA {found[0] if found else 'none'}, nvcc {compiler or 'none'}"
    remedy = "" if found else "only kernels for a GPU need one"
    return Finding("GPU driver", bool(found), value, remedy)


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


def _extra(name: str, found: Mapping[str, str | None]) -> Finding:
    missing = [distribution for distribution, version in found.items() if version is None]
    if missing:
        return Finding(f"extra {name}", False, f"without {', '.join(missing)}", install_command(name))
    return Finding(f"extra {name}", True, ", ".join(f"{d} {version}" for d, version in found.items()))


def _training() -> Finding:
    found = importlib.util.find_spec("nanochat") is not None and importlib.util.find_spec("nanochat.worker") is not None
    remedy = "" if found else "train and race need this project's source tree"
    return Finding("nanochat", found, "importable" if found else "not importable", remedy)


def _try(name: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, ask())
    except KernelSearchError as error:
        return Finding(name, False, "none", str(error))
