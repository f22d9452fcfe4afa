"""C++ candidates: g++ with fixed flags, a plain C ABI, and a content-addressed cache of shared objects.

A torch extension takes over a minute to compile; this takes about a second. Objects are linked without libgomp: its
symbols resolve at load time to the one OpenMP runtime that the process already has, because two runtimes would spin
against each other for the same cores. No -ffast-math: loading such an object flips flush-to-zero for the process.
"""

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kernelsearch.build.abi import abi_header
from kernelsearch.build.compiler import compiler, compiler_identity
from kernelsearch.build.flags import candidate_flags
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.digest import digest, digest_files
from kernelsearch.errors import Infrastructure
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.target import Target

__all__ = ["Artifact", "build", "compiler", "compiler_identity", "cpu_identity"]

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
# For sandbox/memory.cpp: every access to memory is a call, bounds that the compiler knows trap, and allocations go to
# functions of ours. Vector code would hide which element a thread touches.
WATCHED = ("-O1", "-fno-tree-vectorize", "-fsanitize=thread,bounds-strict", "-fsanitize-undefined-trap-on-error")
_ALLOCATION = (
    *("malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign"),
    *(
        f"_Zn{way}m{rest}"
        for way in "wa"
        for rest in ("", "RKSt9nothrow_t", "St11align_val_t", "St11align_val_tRKSt9nothrow_t")
    ),
    *(f"_Zd{way}Pv{rest}" for way in "la" for rest in ("", "m", "St11align_val_t", "mSt11align_val_t")),
)
RENAME = tuple(f"--redefine-sym={name}=watched_{name}" for name in _ALLOCATION)
COMPILE = ("-include", "abi.h", "-I", "include", "-c", "kernel.cpp", "-o", "kernel.o")
LINK = ("-shared", "-nostartfiles", "-Wl,-z,now", "kernel.o", "-o", "kernel.so")


@dataclass(frozen=True)
class Artifact:
    """A compiled candidate. `key` names what it was made from: source, header, flags, compiler, CPU."""

    path: Path
    key: str


def build(target: Target, candidate: Candidate, dtype: str, cache_dir: Path, *, is_watched: bool = False) -> Artifact:
    """The shared object of `candidate` for one dtype, compiled if it is not in the cache; `is_watched` for memory.cpp.

    Raises BuildError with the compiler's text, EnvironmentMissing where there is no compiler or no jail for it.
    """
    header = abi_header(target, candidate, dtype)
    asked = candidate_flags(candidate)  # later options win; what watches memory comes last
    flags = (*FLAGS, *asked, *WATCHED) if is_watched else (*FLAGS, *asked)
    key = digest(["cpp", candidate.source, header, list(flags), compiler_identity(), cpu_identity(), _include_digest()])
    path = cache_dir / "cpp" / key[:2] / f"{key}.so"
    if not path.is_file():
        publish(_compile(candidate.source, header, flags, RENAME if is_watched else (), cache_dir), path)
    return Artifact(path, key)


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


def _compile(source: str, header: str, flags: tuple[str, ...], rename: tuple[str, ...], cache_dir: Path) -> bytes:
    """The shared object, compiled in the jail: the folder of this checkout stays out of the compiler's sight."""
    includes = {f"include/{p.relative_to(INCLUDE)}": p.read_bytes() for p in sorted(INCLUDE.rglob("*.h"))}
    files = {"kernel.cpp": source.encode(), "abi.h": header.encode(), **includes}
    # A compiler outside /usr is known to the jail by the folder it really lies in.
    program = compiler() if compiler().startswith("/usr/") else str(Path(compiler()).resolve())
    programs = [(program, *flags, *COMPILE), (program, *LINK)]
    if rename:
        programs.insert(1, (shutil.which("objcopy") or "objcopy", *rename, "kernel.o"))
    return compile_jailed(jail_command(cache_dir), files, programs, "kernel.so")


def publish(artifact: bytes, path: Path) -> None:
    """Writes a nameless file and then names it, so that nothing half written is found, not even after a kill."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fd = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o644)
        except OSError:  # this file system has no nameless files
            _replace(artifact, path)
            return
        with os.fdopen(fd, "wb") as file:
            file.write(artifact)
            file.flush()
            try:
                os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd)  # a descriptor makes it follow the link
            except FileExistsError:
                pass  # another process built the same
    except OSError as error:
        raise Infrastructure(
            f"cannot write to {path.parent} ({error.strerror}): free some space, or move KERNELSEARCH_HOME"
        ) from None


def _replace(artifact: bytes, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / "artifact"
        made.write_bytes(artifact)
        os.replace(made, path)
