"""CUDA candidates on the CPU: g++ in the jail, the lint of the object, and the runtime that runs their threads.

The object holds no state of its own: indices, barriers, shuffles and shared memory are calls into the runtime, which is
ours and is loaded before the process gives up its power.
"""

import re
from functools import cache
from pathlib import Path

from kernelsearch.build.compiler import compiler, compiler_identity
from kernelsearch.build.cpp import Artifact, cpu_identity, publish
from kernelsearch.build.cuda import emulated_text
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.build.lint import lint_artifact
from kernelsearch.build.openmp import openmp_library
from kernelsearch.build.program import NATIVE, native_program
from kernelsearch.digest import digest, digest_files
from kernelsearch.spec.candidate import Candidate

EMULATION = Path(__file__).parent / "emulation"
# Bounds of arrays and alignment of vectors that the compiler knows are checked; a step beyond them traps.
FLAGS = (
    *("-std=c++20", "-O2", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fno-exceptions"),
    *("-fno-strict-aliasing", "-fPIC", "-fvisibility=hidden", "-fmax-errors=5"),
    *("-fsanitize=bounds-strict,alignment", "-fsanitize-undefined-trap-on-error"),
)
RUNTIME_CALLS = re.compile(r"ks_cuda_\w+")


def runtime_library(cache_dir: Path) -> Path:
    """The shared library that runs emulated kernels, with torch's OpenMP runtime behind it."""
    openmp = Path(openmp_library())
    link = (f"-L{openmp.parent}", f"-Wl,-rpath,{openmp.parent}", f"-l:{openmp.name}")
    return native_program(NATIVE / "cuda_runtime.cpp", cache_dir, ("-shared", "-fPIC", *link))


def build_emulated(candidate: Candidate, dtype: str, cache_dir: Path) -> Artifact:
    """The shared object of all kernels of a candidate for one dtype; its file has passed the lint of build/host.py.

    Raises BuildError with the compiler's text, ContractError for what is not emulated, EnvironmentMissing where there
    is no compiler or no jail for it.
    """
    text, _ = emulated_text(candidate, dtype)
    key = digest(["cuda", text, list(FLAGS), compiler_identity(), cpu_identity(), _headers_digest()])
    path = cache_dir / "cuda" / key[:2] / f"{key}.so"
    if not path.is_file():
        publish(_compile(text, cache_dir), path)
    return Artifact(path, key)


def lint_emulated(candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    """Raises ContractError where the object holds what a kernel's object must not."""
    _, kernels = emulated_text(candidate, dtype)
    artifact = build_emulated(candidate, dtype, cache_dir)
    lint_artifact(artifact.path, [kernel.symbol for kernel in kernels], RUNTIME_CALLS)


@cache
def _headers_digest() -> str:
    return digest([digest_files(EMULATION, "*.h"), (NATIVE / "cuda_abi.h").read_text()])


def _compile(text: str, cache_dir: Path) -> bytes:
    headers = [*sorted(EMULATION.glob("*.h")), NATIVE / "cuda_abi.h"]
    files = {"kernel.cpp": text.encode(), **{f"include/kernelsearch/{p.name}": p.read_bytes() for p in headers}}
    program = compiler() if compiler().startswith("/usr/") else str(Path(compiler()).resolve())
    programs = [
        (program, *FLAGS, "-I", "include", "-c", "kernel.cpp", "-o", "kernel.o"),
        (program, "-shared", "-nostartfiles", "-Wl,-z,now", "kernel.o", "-o", "kernel.so"),
    ]
    return compile_jailed(jail_command(cache_dir), files, programs, "kernel.so")
