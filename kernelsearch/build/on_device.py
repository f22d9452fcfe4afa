"""A candidate's text becomes host functions of this process, for a GPU; the lint came before.

CUDA C is compiled by NVRTC, found through CuPy, behind a prelude (`scalar_t`, SCALAR_IS_BFLOAT16, the tunables as
macros), and launched on torch's stream.
"""

import tempfile
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.build.cuda import device_code
from kernelsearch.build.cuda_ahead import NAMES, cuda_headers
from kernelsearch.build.triton_worker import load
from kernelsearch.digest import digest_bytes
from kernelsearch.errors import BuildError, EnvironmentMissing


def load_candidate(source: str, language: str, tunables: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The candidate's globals, its host functions among them."""
    # A name of its own: a process may hold several, and Triton's interpreter reads a text when it is first called.
    found = load(source, dict(tunables), f"candidate-{digest_bytes(source.encode())[:8]}.py")
    if language == "cuda":
        found["launch"] = make_launch(tunables, dtype)
    return found


def as_traceable(found: Mapping[str, Any]) -> dict[str, Any]:
    """The host functions of a Triton candidate again, their launches such that torch.compile sees into them."""
    from triton.runtime.jit import JITFunction

    seen = dict(found)
    for name, value in found.items():
        if isinstance(value, JITFunction):
            seen[name] = torch.library.wrap_triton(value)
        elif isinstance(value, types.FunctionType):
            seen[name] = types.FunctionType(value.__code__, seen, name, value.__defaults__)
    return seen


def make_launch(tunables: Mapping[str, Any], dtype: str) -> Callable[..., None]:
    """launch(SOURCE, "kernel", grid, block, (arguments,), shared_bytes=n)"""
    try:
        import cupy
    except ImportError:
        raise EnvironmentMissing("cupy is not installed: pip install 'kernelsearch[cuda13]'") from None
    modules: dict[str, Any] = {}
    folder = tempfile.TemporaryDirectory(prefix="kernelsearch-")

    def launch(
        source: str,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        shared_bytes: int = 0,
    ) -> None:
        if source not in modules:
            file = Path(folder.name) / f"{len(modules)}.cubin"  # read when a kernel is first asked for
            file.write_bytes(compile_cubin(cupy.cuda.nvrtc, device_code(source, tunables, dtype)))
            modules[source] = cupy.RawModule(path=str(file))
        kernel = modules[source].get_function(name)
        if shared_bytes > 48 << 10:
            kernel.max_dynamic_shared_size_bytes = shared_bytes
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            kernel(grid, block, tuple(_argument(cupy, a) for a in arguments), shared_mem=shared_bytes)

    return launch


def compile_cubin(nvrtc: Any, code: str) -> bytes:
    """Machine code for the current device, by the options that kernels are compiled ahead with (cuda_worker.py).

    Not by RawModule: CuPy puts -ftz=true behind the options it is given, and nothing else here flushes subnormals.
    """
    major, minor = torch.cuda.get_device_capability()
    number = 10 * major + minor
    options = [f"--gpu-architecture={NAMES.get(number, f'sm_{number}')}", "-std=c++17"]
    options += [f"--include-path={folder}" for folder in cuda_headers()]  # CuPy brings no cuda_bf16.h
    program = nvrtc.createProgram(code, "candidate.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        made: bytes = nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError:
        raise BuildError(nvrtc.getProgramLog(program)) from None
    finally:
        nvrtc.destroyProgram(program)
    return made


def _argument(cupy: types.ModuleType, value: Any) -> Any:
    """A tensor as its address, integers in 64 bits, of which a kernel reads as many as it declared, floats in 32."""
    if isinstance(value, Tensor):
        return cupy.uint64(value.data_ptr())
    if isinstance(value, bool):
        return cupy.bool_(value)
    return cupy.int64(value) if isinstance(value, int) else cupy.float32(value)
