"""Compiles the kernels of one CUDA candidate for GPUs that need not be here, called by ahead_main.py in the jail.

The host functions run on tensors that have a shape and no data, and their launches are recorded: they say which text is
used, how many threads a block has and how much shared memory it asks for. NVRTC, or nvcc where that is all there is,
makes a cubin for each architecture, and ptxas says what each kernel takes. The source was linted.
"""

import math
import re
import subprocess
import tempfile
import types
from pathlib import Path
from typing import Any

FILE = "candidate.py"
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


class CompileError(Exception):
    """What the compiler said."""


def record(
    source: str, tunables: dict[str, int], calls: list[dict[str, Any]]
) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Every kernel that these calls launch, by text and name: its largest block, dynamic shared memory and grid."""
    import torch

    launches: dict[tuple[str, str], tuple[int, int, int]] = {}

    def launch(text: str, name: str, grid: Any, block: Any, arguments: Any, shared_bytes: int = 0) -> None:
        threads, blocks = (size if isinstance(size, int) else math.prod(size) for size in (block, grid))
        before = launches.get((text, name), (0, 0, 0))
        launches[text, name] = (max(before[0], threads), max(before[1], shared_bytes), max(before[2], blocks))

    module = types.ModuleType("candidate")
    module.__dict__.update(tunables, launch=launch)
    exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
    for call in calls:
        tensors = [torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for shape, dtype in call["tensors"]]
        getattr(module, call["function"])(*tensors, **call["numbers"])
    texts = {value: name for name, value in vars(module).items() if isinstance(value, str)}
    return {(texts[text], name): found for (text, name), found in launches.items()}


def compile_nvrtc(code: str, architecture: str, include: str) -> str:
    """What ptxas said; raises CompileError with the compiler's text."""
    from cuda.bindings import nvrtc

    def checked(result: tuple[Any, ...]) -> Any:
        if result[0] != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(f"NVRTC: {result[0]!r}")
        return result[1] if len(result) == 2 else None

    program = checked(nvrtc.nvrtcCreateProgram(code.encode(), b"candidate.cu", 0, [], []))
    options = [f"--gpu-architecture={architecture}", "-std=c++17", f"--include-path={include}", "--ptxas-options=-v"]
    outcome = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])[0]
    log = b" " * checked(nvrtc.nvrtcGetProgramLogSize(program))
    checked(nvrtc.nvrtcGetProgramLog(program, log))
    text: str = log.decode(errors="replace").strip("\0 \n")
    if outcome != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CompileError(text or repr(outcome))
    return text


def compile_nvcc(code: str, architecture: str, nvcc: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "candidate.cu"
        file.write_text(code)
        command = [nvcc, "-cubin", f"-arch={architecture}", "-std=c++17", "-Xptxas", "-v", str(file), "-o"]
        done = subprocess.run([*command, str(file.with_suffix(".cubin"))], capture_output=True, text=True, cwd=scratch)
    if done.returncode != 0:
        raise CompileError(done.stderr.replace(f"{scratch}/", ""))
    return done.stderr


def usage(log: str) -> dict[str, tuple[int, int, int]]:
    """Registers, bytes of stack and of static shared memory of every kernel, from what ptxas printed."""
    found: dict[str, tuple[int, int, int]] = {}
    kernel, stack = "", 0
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            kernel, stack = entry[1], 0
        elif frame := _STACK.search(line):
            stack = int(frame[1])
        elif kernel and (used := _USED.search(line)):
            found[kernel] = (int(used[1]), stack, int(used[2] or 0))
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    launches = record(request["source"], request["tunables"], request["calls"])
    compiler = compile_nvrtc if request["compiler"] == "nvrtc" else compile_nvcc
    kernels: list[dict[str, Any]] = []
    for architecture, name in request["architectures"]:
        for text in dict.fromkeys(text for text, _ in launches):
            try:
                used = usage(compiler(request["texts"][text], name, request["where"]))
            except CompileError as error:
                return {"error": f"for {name}: {error}", "kernels": kernels}
            for (of, kernel), (threads, dynamic, blocks) in launches.items():
                if of == text:
                    registers, stack, static = used[kernel]
                    kernels.append(
                        {
                            "kernel": kernel,
                            "architecture": architecture,
                            "registers": registers,
                            "stack_bytes": stack,
                            "shared_bytes": static + dynamic,
                            "warps": -(-threads // 32),
                            "blocks": blocks,
                        }
                    )
    return {"error": None, "kernels": kernels}
