"""The untrusted side for Triton candidates without a GPU: Triton's interpreter in python_runner.py's confinement.

    python -I -S -B triton_runner.py LIBRARY PATHS SITE... -- (the wiring of runner.cpp)

Every tensor that a host function is given or allocates lies by itself between memory that nobody may touch: a step
beyond it ends the process, and the verdict says CRASH. What it allocates is full of NaN. In bfloat16 the interpreter
computes on bit patterns (Triton 3.7 to 3.9), so there the copies are float32 and so are the text's bfloat16; results
are rounded once, when they leave. Interpreted arithmetic is therefore closer to exact than a GPU's.
"""

import ctypes
import importlib.util
import linecache
import mmap
import os
import re
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

FILE = "candidate.py"
FENCE_BYTES = 1 << 20
ALLOCATIONS = ("empty", "empty_like", "zeros", "zeros_like", "full", "full_like")
PROT_NONE, PROT_BOTH, PRIVATE_ANONYMOUS = 0, 3, 0x22


def sibling(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


python_runner = sibling("python_runner")
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Fenced:
    """A copy of a tensor between two fences that fault; it touches the upper one, or the lower one."""

    def __init__(self, torch: Any, tensor: Any, *, is_high: bool) -> None:
        page, size = mmap.PAGESIZE, tensor.numel() * tensor.element_size()
        pages = max(1, -(-size // page))
        self.bytes = pages * page + 2 * FENCE_BYTES
        self.address = libc.mmap(None, self.bytes, PROT_BOTH, PRIVATE_ANONYMOUS, -1, 0)
        if self.address in (None, ctypes.c_void_p(-1).value):
            raise MemoryError(f"{self.bytes} bytes for a copy of an argument")
        for fence in (self.address, self.address + FENCE_BYTES + pages * page):
            libc.mprotect(fence, FENCE_BYTES, PROT_NONE)
        start = self.address + FENCE_BYTES + (pages * page - size if is_high else 0)
        self.tensor = tensor
        if size:
            buffer = (ctypes.c_char * size).from_address(start)
            self.tensor = torch.frombuffer(buffer, dtype=tensor.dtype, count=tensor.numel()).reshape(tensor.shape)
            self.tensor.copy_(tensor)

    def release(self) -> None:
        libc.munmap(self.address, self.bytes)


class Runner(python_runner.Runner):  # type: ignore[misc, name-defined]
    """Calls host functions with fenced copies, and copies back what the contract has them write."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        source = self.artifact["source"]
        self.is_widened = self.artifact["dtype"] == "bfloat16"
        if self.is_widened:
            source = re.sub(r"\b(tl|torch)\.bfloat16\b", r"\1.float32", source)
        self.artifact["source"] = source
        linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
        self.is_high = False
        self.allocated: list[Fenced] = []
        for name in ALLOCATIONS:
            setattr(self.torch, name, self.fencing(getattr(self.torch, name)))

    def fencing(self, allocate: Any) -> Any:
        """The allocation, but between fences until the call is over."""

        def fenced(*arguments: Any, **keywords: Any) -> Any:
            self.allocated.append(Fenced(self.torch, allocate(*arguments, **keywords), is_high=self.is_high))
            return self.allocated[-1].tensor

        return fenced

    def call(self, function: dict[str, Any], call: Any, values: dict[str, Any]) -> None:
        self.is_high = not self.is_high
        taken = {n: values[n] for n in function["passed"] if hasattr(values[n], "dtype")}
        fenced = {n: Fenced(self.torch, self.widen(t), is_high=self.is_high) for n, t in taken.items()}
        passed = [fenced[n].tensor if n in fenced else values[n] for n in function["passed"]]
        parameters = {name: values[name] for name in function["parameters"]}
        with self.torch.no_grad():
            found = python_runner.results(function, call(*passed, **parameters))
            self.write({n: self.narrow(t, values[n].dtype) for n, t in found.items()}, values)
            for name in function["updates"]:
                values[name].copy_(fenced[name].tensor)
        del found, passed
        for copy in (*fenced.values(), *self.allocated):
            copy.release()
        self.allocated.clear()

    def widen(self, tensor: Any) -> Any:
        return tensor.float() if tensor.dtype == self.torch.bfloat16 else tensor

    def narrow(self, tensor: Any, dtype: Any) -> Any:
        """A float32 result where the contract has bfloat16, rounded once; anything else must have its dtype already."""
        is_stand_in = self.is_widened and dtype == self.torch.bfloat16 and getattr(tensor, "dtype", None) is not None
        return tensor.to(dtype) if is_stand_in and tensor.dtype == self.torch.float32 else tensor


PROBE = """
import triton
import triton.language as tl


@triton.jit
def probe(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    square = tl.dot(value[:, None] * tl.zeros([BLOCK, BLOCK], tl.float32), tl.zeros([BLOCK, BLOCK], tl.float32))
    tl.store(y + at, tl.exp(value) + tl.sum(square, axis=1), mask=at < n)
"""


def warm(torch: Any) -> None:
    """Lets torch and the interpreter load and look at all they need while they still can."""
    python_runner.warm(torch)
    torch.use_deterministic_algorithms(True, warn_only=True)  # and with it, what is not written is NaN
    linecache.cache[FILE] = (len(PROBE), None, PROBE.splitlines(keepends=True), FILE)
    module = types.ModuleType("probe")
    exec(compile(PROBE, FILE, "exec"), module.__dict__)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = torch.ones(20)
    module.probe[(2,)](x, torch.empty_like(x), 20, BLOCK=16)
    torch.set_num_threads(threads)


def main(arguments: list[str]) -> NoReturn:
    os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    python_runner.main(arguments, Runner, warm)
    raise AssertionError("it obeys until its process ends")


if __name__ == "__main__":
    main(sys.argv[1:])
