"""What the judge does differently for each language: build, lint, and the runner that holds the candidate.

cpp is compiled and linted as an object. python is arbitrary code, for search and `check` only: nothing of it is ever
stored or promoted. triton is linted, compiled ahead of time for GPUs that need not be here, and interpreted: proven,
not timed. cuda likewise, its kernels emulated by compiled code in place of an interpreter.
"""

import base64
import importlib.util
import json
import sys
import sysconfig
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelsearch.build import cpp, cuda_ahead
from kernelsearch.build import triton_ahead as triton
from kernelsearch.build.abi import Function, forward_function, functions
from kernelsearch.build.ahead import outermost
from kernelsearch.build.cuda import emulated_text
from kernelsearch.build.emulated import build_emulated, lint_emulated, runtime_library
from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.build.lint import lint_artifact
from kernelsearch.build.program import native_program
from kernelsearch.errors import BuildError, EnvironmentMissing
from kernelsearch.sandbox.session import native_command
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.record import Resources
from kernelsearch.spec.target import Entry, Target
from kernelsearch.spec.workload import Workload

SYSTEM_PATHS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null")
PYTHON_CAVEAT = (
    "a Python candidate is for search and never promoted: its ratio includes the interpreter, and where it has no "
    "backward of its own, a second forward"
)


Ahead = Callable[[Target, Candidate, tuple[Workload, ...], tuple[int, ...], Path], tuple[Resources, ...] | None]


@dataclass(frozen=True)
class Language:
    """How candidates of one language are judged.

    `build` raises BuildError, `lint` ContractError; `artifact` is what the process started by `command` is given. What
    has a `caveat` is never accepted, and its verdict says so. `ahead` compiles for GPUs, after the lint, and says what
    each kernel takes, or None where the compiler for it is missing; it raises BuildError. `untimed` is what the verdict
    says where the process stands in for a GPU: then nothing is timed or accepted, and `call_timeout_s` allows for that.
    """

    build: Callable[[Target, Candidate, str, Path], None]
    lint: Callable[[Target, Candidate, str, Path], None]
    artifact: Callable[[Target, Candidate, str, Path], bytes]
    command: Callable[[Path], list[str]]
    caveat: str = ""
    ahead: Ahead | None = None
    untimed: str = ""
    call_timeout_s: float | None = None


def language_of(candidate: Candidate) -> Language:
    """Raises EnvironmentMissing for a language that is not known here."""
    found = LANGUAGES.get(candidate.language)
    if found is None:
        raise EnvironmentMissing(f"language={candidate.language!r}: known are {', '.join(LANGUAGES)}")
    return found


def watched(candidate: Candidate) -> Language | None:
    """How to run this candidate so that its use of memory is watched; None for a language whose memory is safe."""
    return WATCHED_CPP if candidate.language == "cpp" else None


def _build_cpp(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    cpp.build(target, candidate, dtype, cache_dir)


def _lint_cpp(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    artifact = cpp.build(target, candidate, dtype, cache_dir)
    lint_artifact(artifact.path, [f.symbol for f in functions(target, candidate.declared)])


def _read_cpp(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> bytes:
    return cpp.build(target, candidate, dtype, cache_dir).path.read_bytes()


def _read_watched_cpp(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> bytes:
    return cpp.build(target, candidate, dtype, cache_dir, is_watched=True).path.read_bytes()


def _watched_command(cache_dir: Path) -> list[str]:
    """The native runner with memory.cpp between the candidate and the OpenMP runtime."""
    runner, openmp = native_command(cache_dir)
    folder = Path(openmp).parent
    link = (f"-L{folder}", f"-Wl,-rpath,{folder}", f"-l:{Path(openmp).name}")
    library = native_program(
        Path(__file__).parent / "memory.cpp", cache_dir, ("-shared", "-fPIC", "-Wl,--no-as-needed", *link, "-ldl")
    )
    return [runner, str(library)]


def _compile_python(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    """Raises BuildError where the text is not Python; nothing of it is executed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(candidate.source, "candidate.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise BuildError(f"candidate.py:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BuildError(f"candidate.py cannot be parsed ({type(error).__name__}): nest less deeply") from None


def _describe_python(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> bytes:
    """The JSON document of python_runner.py."""
    passed = host_functions(target, candidate.declared)
    entries = {f"{e.name}_{way}": e for e in target.entries for way in ("forward", "backward")}
    described = {
        f.trampoline: _describe(f, entries[f.symbol], passed[f.symbol], dtype)
        for f in functions(target, candidate.declared)
    }
    document = {
        "source": candidate.source,
        "tunables": dict(candidate.tunables),
        "dtype": dtype,
        "functions": described,
    }
    return json.dumps(document).encode()


def _describe(function: Function, entry: Entry, passed: tuple[str, ...], dtype: str) -> dict[str, Any]:
    parameters = [p.name for p in entry.parameters]
    arguments = [
        {
            "name": a.name,
            "axes": None if a.tensor is None else list(a.tensor.axes),
            "dtype": a.ctype if a.tensor is None else a.tensor.element(dtype),
        }
        for a in function.arguments
    ]
    described = {
        "name": function.symbol,
        "arguments": arguments,
        "passed": [name for name in passed if name not in parameters],
        "parameters": parameters,
        "results": [a.name for a in function.arguments if a.writable and a.name not in passed],
        "updates": [a.name for a in function.arguments if a.writable and a.name in passed],
    }
    if function.symbol == f"{entry.name}_backward":
        forward = forward_function(entry, ()).trampoline
        return described | {"forward": forward, "gradients": list(entry.gradients)}
    return described


def _lint_triton(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    lint_host(candidate.source, "triton", host_functions(target, candidate.declared))


def _triton_command(cache_dir: Path) -> list[str]:
    triton.triton_version()
    return _python_command(cache_dir, "triton_runner.py")


def _lint_cuda(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> None:
    """The file, then the object of its emulation, which is built only now."""
    lint_host(candidate.source, "cuda", host_functions(target, candidate.declared))
    lint_emulated(candidate, dtype, cache_dir)


def _describe_cuda(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> bytes:
    """The JSON document of emulated_runner.py."""
    document = json.loads(_describe_python(target, candidate, dtype, cache_dir))
    _, kernels = emulated_text(candidate, dtype)
    compiled = build_emulated(candidate, dtype, cache_dir).path.read_bytes()
    document["object"] = base64.b64encode(compiled).decode()
    document["runtime"] = str(runtime_library(cache_dir))
    document["kernels"] = [[kernel.text, kernel.name, kernel.symbol] for kernel in kernels]
    return json.dumps(document).encode()


def _cuda_command(cache_dir: Path) -> list[str]:
    return _python_command(cache_dir, "emulated_runner.py")


def _python_command(cache_dir: Path, runner: str = "python_runner.py") -> list[str]:
    """This interpreter, isolated: it may read its own library and the folder that holds torch."""
    library = native_program(Path(__file__).parent / "python_confine.cpp", cache_dir, ("-shared", "-fPIC"))
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise EnvironmentMissing("torch is not installed: pip install torch")
    sites = sorted(
        {str(Path(torch.origin).parent.parent), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    )
    paths = outermost([*SYSTEM_PATHS, sys.base_prefix, sys.base_exec_prefix, *sites])
    script = str(Path(__file__).parent / runner)
    return [sys.executable, "-I", "-S", "-B", script, str(library), "\n".join(paths), *sites, "--"]


def device_of(language: str) -> str:
    """What torch calls the kind of device that kernels of a language run on in training."""
    return "cuda" if language in GPU_LANGUAGES else "cpu"


GPU_LANGUAGES = frozenset({"triton", "cuda"})
WATCHED_CPP = Language(_build_cpp, _lint_cpp, _read_watched_cpp, _watched_command)
LANGUAGES = {
    "cpp": Language(_build_cpp, _lint_cpp, _read_cpp, native_command),
    "python": Language(_compile_python, lambda *_: None, _describe_python, _python_command, PYTHON_CAVEAT),
    "triton": Language(
        _compile_python,
        _lint_triton,
        _describe_python,
        _triton_command,
        ahead=triton.compile_ahead,
        untimed="interpreted, not timed",
        call_timeout_s=120.0,
    ),
    "cuda": Language(
        _compile_python,
        _lint_cuda,
        _describe_cuda,
        _cuda_command,
        ahead=cuda_ahead.compile_ahead,
        untimed="emulated, not timed",
        call_timeout_s=30.0,
    ),
}
