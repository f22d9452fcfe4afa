"""Compiles the kernels of one Triton candidate for GPUs that need not be here, called by ahead_main.py in the jail.

The host functions run on tensors that have a shape and no data, and their launches are recorded: what is compiled is
what training's calls would compile, with the same specialisation of sizes. Then Triton's own compiler makes a cubin for
each architecture, and cuobjdump says what it takes. Standard library, torch and triton only. The source was linted.
"""

import json
import linecache
import math
import os
import re
import subprocess
import tempfile
import types
from typing import Any

POINTERS = {
    "float32": "*fp32",
    "float16": "*fp16",
    "bfloat16": "*bf16",
    "float64": "*fp64",
    "int64": "*i64",
    "int32": "*i32",
    "int16": "*i16",
    "int8": "*i8",
    "uint8": "*u8",
    "bool": "*i1",
}
OPTIONS = ("num_warps", "num_stages", "num_ctas", "maxnreg")
RES_USAGE = re.compile(r"REG:(\d+) STACK:(\d+)")
FILE = "candidate.py"


class Recorder:
    """Stands for a kernel in the host functions: keeps the arguments and the blocks of each launch."""

    def __init__(self, kernel: Any, launches: list[tuple[Any, dict[str, Any], int]]) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: Any) -> Any:
        def launch(*arguments: Any, **keywords: Any) -> None:
            named = dict(zip(self.kernel.arg_names, arguments, strict=False)) | keywords
            self.launches.append((self.kernel, named, math.prod(grid)))

        return launch


def load(source: str, tunables: dict[str, int], file: str = FILE) -> dict[str, Any]:
    """The candidate's globals. Triton reads the text of a kernel where Python looks for it, which is under `file`."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = types.ModuleType("candidate")
    module.__dict__.update(tunables)
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    module.__dict__.update(tunables)
    return module.__dict__


def record(found: dict[str, Any], calls: list[dict[str, Any]]) -> list[tuple[Any, dict[str, Any], int]]:
    """Every launch that these calls of host functions make."""
    import torch
    import triton

    launches: list[tuple[Any, dict[str, Any], int]] = []
    host: dict[str, Any] = dict(found)
    for name, value in found.items():
        if isinstance(value, triton.runtime.jit.JITFunction):
            host[name] = Recorder(value, launches)
        elif isinstance(value, types.FunctionType):
            host[name] = types.FunctionType(value.__code__, host, name, value.__defaults__)
    for call in calls:
        tensors = [torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for shape, dtype in call["tensors"]]
        host[call["function"]](*tensors, **call["numbers"])
    return launches


def describe(kernel: Any, named: dict[str, Any]) -> dict[str, Any]:
    """One launch as the compiler wants it: types, constants, what is divisible by 16, options."""
    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    divisible = []
    for parameter in kernel.params:
        name = parameter.name
        value = named.get(name, parameter.default)
        signature[name] = type_name(value, parameter)
        if signature[name] == "constexpr":
            constants[name] = value
        elif is_divisible(value) and not parameter.do_not_specialize:
            divisible.append(parameter.num)
    options = {name: named[name] for name in OPTIONS if named.get(name) is not None}
    return {"signature": signature, "constants": constants, "divisible": divisible, "options": options}


def type_name(value: Any, parameter: Any) -> str:
    if parameter.is_constexpr or value is None:
        return "constexpr"
    if hasattr(value, "dtype"):
        return POINTERS[str(value.dtype).removeprefix("torch.")]
    if isinstance(value, bool):
        return "i1"
    if isinstance(value, float):
        return "fp32"
    if value == 1 and not parameter.do_not_specialize:
        return "constexpr"
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def is_divisible(value: Any) -> bool:
    if hasattr(value, "dtype"):
        return bool(value.storage_offset() * value.element_size() % 16 == 0)
    return isinstance(value, int) and not isinstance(value, bool) and value % 16 == 0


def compile_launch(kernel: Any, launch: dict[str, Any], architecture: int) -> dict[str, Any]:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(
        kernel,
        signature=launch["signature"],
        constexprs=launch["constants"],
        attrs={(index,): [["tt.divisibility", 16]] for index in launch["divisible"]},
    )
    made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=launch["options"])
    registers, stack = usage(made.asm["cubin"])
    return {
        "kernel": kernel.__name__,
        "architecture": architecture,
        "registers": registers,
        "stack_bytes": stack,
        "shared_bytes": made.metadata.shared,
        "warps": made.metadata.num_warps,
    }


def usage(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of stack for each thread, read by Triton's own cuobjdump: no driver is needed."""
    import triton

    brought = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin", "cuobjdump")
    program = brought if os.path.exists(brought) else "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = RES_USAGE.findall(text)
    return max(int(r) for r, _ in found), max(int(s) for _, s in found)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    os.environ |= {"TRITON_CACHE_DIR": os.path.abspath("cache"), "TRITON_INTERPRET": "0"}
    launches = record(load(request["source"], request["tunables"]), request["calls"])
    kernels: list[dict[str, Any]] = []
    for architecture in request["architectures"]:
        seen: dict[tuple[str, str], dict[str, Any]] = {}
        for kernel, named, blocks in launches:
            launch = describe(kernel, named)
            key = (kernel.__name__, json.dumps(launch, sort_keys=True))
            if key in seen:
                seen[key]["blocks"] = max(seen[key]["blocks"], blocks)
                continue
            try:
                seen[key] = compile_launch(kernel, launch, architecture) | {"blocks": blocks}
                kernels.append(seen[key])
            except Exception as error:
                return {"kernels": kernels, "error": f"{kernel.__name__} for sm_{architecture}: {last_lines(error)}"}
    return {"kernels": kernels, "error": None}


def last_lines(error: BaseException | None) -> str:
    """The end of what was said, and of what caused it: Triton wraps the reason once for each function around it."""
    texts = []
    while error is not None:
        texts.append("\n".join(f"{type(error).__name__}: {error}".strip().splitlines()[-12:]))
        error = error.__cause__
    return "\n".join(texts[-2:])
