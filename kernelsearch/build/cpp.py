"""C++ candidates: g++ with fixed flags, a plain C ABI, and a content-addressed cache of shared objects.

A torch extension takes over a minute to compile; this takes about a second. Objects are linked without libgomp: its
symbols resolve at load time to the one OpenMP runtime that the process already has, because two runtimes would spin
against each other for the same cores. No -ffast-math: loading such an object flips flush-to-zero for the process.
"""

import errno
import os
import platform
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernelsearch.build.abi import abi_header
from kernelsearch.digest import digest, digest_files
from kernelsearch.errors import BuildError, EnvironmentMissing, Infrastructure
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.target import Target

INCLUDE = Path(__file__).parent / "include"
FLAGS = (
    "-std=c++20",
    "-O3",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-exceptions",
    "-fopenmp",
    "-fPIC",
    "-fvisibility=hidden",
    "-fmax-errors=5",
)
TIMEOUT_S = 60
MEMORY_BYTES = 4 << 30
MAXIMUM_MESSAGE = 4000


@dataclass(frozen=True)
class Artifact:
    """A compiled candidate. `key` names what it was made from: source, header, flags, compiler, CPU."""

    path: Path
    key: str


def build(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> Artifact:
    """The shared object of `candidate` for one dtype, compiled if it is not in the cache.

    Raises BuildError with the compiler's text, EnvironmentMissing where there is no compiler.
    """
    header = abi_header(target, candidate, dtype)
    key = digest(["cpp", candidate.source, header, list(FLAGS), compiler_identity(), cpu_identity(), _include_digest()])
    path = cache_dir / "cpp" / key[:2] / f"{key}.so"
    if not path.is_file():
        _compile(candidate.source, header, path)
    return Artifact(path, key)


@cache
def compiler() -> str:
    """The C++ compiler's path: $CXX if set by the caller's shell, else g++."""
    found = shutil.which("g++")
    if found is None:
        raise EnvironmentMissing(
            "no C++ compiler: g++ is not on PATH. Install it with `sudo apt-get install g++` (Debian, Ubuntu) or "
            "`sudo dnf install gcc-c++` (Fedora)"
        )
    return found


@cache
def compiler_identity() -> str:
    text = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return text.splitlines()[0]


@cache
def cpu_identity() -> str:
    """Model and features of this CPU: an object built with -march=native is only for this digest."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    found = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    return digest({name: found[name] for name in wanted if name in found})


@cache
def _include_digest() -> str:
    return digest_files(INCLUDE, "*.h")


def _compile(source: str, header: str, path: Path) -> None:
    """Compile in a scratch folder and move the result into place, so that a half-written object is never found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch)
        try:
            (folder / "kernel.cpp").write_text(source)
            (folder / "abi.h").write_text(header)
        except OSError as error:
            raise Infrastructure(f"cannot write to {path.parent}: {error.strerror}") from None
        _run_compiler([*FLAGS, "-include", "abi.h", "-I", str(INCLUDE), "-c", "kernel.cpp", "-o", "kernel.o"], folder)
        _run_compiler(["-shared", "-nostartfiles", "-Wl,-z,now", "kernel.o", "-o", "kernel.so"], folder)
        os.replace(folder / "kernel.so", path)


def _run_compiler(arguments: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            [compiler(), *arguments],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            preexec_fn=_limit,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"the compiler did not finish within {TIMEOUT_S} s") from None
    if done.returncode != 0:
        text = done.stdout.decode(errors="replace").replace(str(folder) + "/", "")
        if os.strerror(errno.ENOSPC) in text:
            raise Infrastructure(
                f"the disk that holds {folder.parent} is full: free some space, or move KERNELSEARCH_HOME"
            )
        raise BuildError(text[:MAXIMUM_MESSAGE].strip() or f"the compiler ended with status {done.returncode}")


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (TIMEOUT_S, TIMEOUT_S))
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
