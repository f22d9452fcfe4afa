"""The untrusted side for CUDA candidates without a GPU: host functions here, kernels in the emulation.

    python -I -S -B emulated_runner.py LIBRARY PATHS SITE... -- (the wiring of runner.cpp)

The artifact is python_runner.py's document and besides: `object`, the compiled kernels (base64); `runtime`, the
library of ours that runs their threads; `kernels`, triples of text, name and symbol. The runtime is loaded first, the
object only after this process has given up its power. Tensors that a kernel sees lie between two pages that nobody may
touch, and what the candidate allocates is full of NaN.
"""

import base64
import ctypes
import importlib.util
import json
import os
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

SIGNATURE_BYTES = 4096
MAXIMUM_THREADS, MAXIMUM_SHARED_BYTES = 1024, 227 << 10
LINE_BYTES = 64
MAXIMUM_GRID, MAXIMUM_BLOCK = (2**31 - 1, 65535, 65535), (1024, 1024, 64)


def sibling(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


triton_runner = sibling("triton_runner")
python_runner = triton_runner.python_runner


class Index(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


class Launch(ctypes.Structure):
    """KsLaunch of cuda_abi.h."""

    _fields_ = [
        ("grid", Index),
        ("block", Index),
        ("shared_bytes", ctypes.c_uint64),
        ("arguments", ctypes.c_void_p),
        ("signature", ctypes.c_char_p),
        ("signature_bytes", ctypes.c_uint64),
    ]


class Kernel:
    """One compiled kernel; `signature` holds a code of cuda_launch.h for each parameter."""

    def __init__(self, name: str, function: Any) -> None:
        self.name, self.function = name, function
        function.restype = None
        text = ctypes.create_string_buffer(SIGNATURE_BYTES)
        asked = Launch(signature=ctypes.cast(text, ctypes.c_char_p), signature_bytes=SIGNATURE_BYTES)
        function(ctypes.byref(asked))
        self.signature = text.value.decode().split()

    def run(self, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared_bytes: int) -> None:
        if len(arguments) != len(self.signature):
            raise TypeError(f"{self.name} takes {len(self.signature)} arguments, {len(arguments)} were given")
        words = (ctypes.c_uint64 * max(1, len(arguments)))()
        for place, (value, code) in enumerate(zip(arguments, self.signature, strict=True)):
            self.put(words, place, value, code)
        launch = Launch(Index(*grid), Index(*block), shared_bytes, ctypes.addressof(words), None, 0)
        self.function(ctypes.byref(launch))

    def put(self, words: Any, place: int, value: Any, code: str) -> None:
        address = ctypes.addressof(words) + 8 * place
        what = f"argument {place + 1} of {self.name}"
        if code.startswith("p"):
            words[place] = self.address(value, code[1:], what)
        elif code == "float32" and isinstance(value, float):
            ctypes.c_float.from_address(address).value = value
        elif code.startswith(("int", "uint")) and isinstance(value, int) and not isinstance(value, bool):
            bits = int(code.removeprefix("u").removeprefix("int"))
            low, high = (0, 2**bits) if code[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
            if not low <= value < high:
                raise OverflowError(f"{what} is {value}, which does not fit into {code}")
            words[place] = value % 2**64
        elif code == "bool" and isinstance(value, bool):
            words[place] = int(value)
        else:
            way = "; a launch passes int, float (in 32 bits) and bool as they are: convert in the host function"
            raise TypeError(f"{what} is {described(value)}; the kernel takes {code}{way}")

    def address(self, value: Any, dtype: str, what: str) -> int:
        if not hasattr(value, "data_ptr") or (dtype and str(value.dtype) != f"torch.{dtype}"):
            raise TypeError(
                f"{what} is {described(value)}; the kernel takes a pointer to {dtype or 'a type of its own'}"
            )
        return int(value.data_ptr())


def described(value: Any) -> str:
    return f"a tensor of {value.dtype}" if hasattr(value, "data_ptr") else f"{type(value).__name__} {value!r}"[:60]


def three(sizes: Any, limits: Sequence[int], what: str) -> tuple[int, ...]:
    listed = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    filled = (*listed, 1, 1, 1)[: max(3, len(listed))]
    if len(filled) != 3 or any(not 1 <= n <= limit for n, limit in zip(filled, limits, strict=True)):
        raise ValueError(f"{what} {sizes!r}: one to three numbers from 1 to {', '.join(map(str, limits))}")
    return filled


class Runner(python_runner.Runner):  # type: ignore[misc, name-defined]
    """Calls host functions with fenced copies and a `launch` of the emulation's."""

    def __init__(self, path: bytes, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.path = path.decode()
        self.calls_made = 0
        self.kernels: dict[tuple[str, str], Kernel] = {}
        self.allocated: list[Any] = []

    def find(self, symbols: list[str]) -> int:
        self.artifact["tunables"]["launch"] = self.launch
        found: int = super().find(symbols)
        self.module.torch = Allocating(self.torch, self.fence)  # what the module's functions find under that name
        library = ctypes.CDLL(self.path)
        for text, name, symbol in self.artifact["kernels"]:
            code = getattr(self.module, text)
            self.kernels[code, name] = Kernel(name, library[symbol])
        return found

    def launch(
        self, source: str, name: str, grid: Any, block: Any, arguments: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        sizes = three(grid, MAXIMUM_GRID, "grid"), three(block, MAXIMUM_BLOCK, "block")
        threads = sizes[1][0] * sizes[1][1] * sizes[1][2]
        if threads > MAXIMUM_THREADS:
            raise ValueError(f"block {block!r}: {threads} threads, at most {MAXIMUM_THREADS} are possible")
        if not 0 <= shared_bytes <= MAXIMUM_SHARED_BYTES:
            raise ValueError(f"shared_bytes={shared_bytes}: at most {MAXIMUM_SHARED_BYTES}")
        self.kernels[source, name].run(*sizes, arguments, shared_bytes)

    def fence(self, tensor: Any) -> Any:
        """A copy that lasts until the call has ended: right below a page that faults, right above one, or, every third
        call, as far from a multiple of 64 bytes as the tensor itself."""
        if self.calls_made % 3 < 2:
            self.allocated.append(triton_runner.Fenced(self.torch, tensor, is_high=self.calls_made % 3 == 0))
            return self.allocated[-1].tensor
        size = tensor.element_size()
        room = self.torch.empty(tensor.numel() + LINE_BYTES // size, dtype=tensor.dtype)
        self.allocated.append(triton_runner.Fenced(self.torch, room, is_high=True))
        room = self.allocated[-1].tensor
        skipped = (tensor.data_ptr() - room.data_ptr()) % LINE_BYTES // size
        placed = room[skipped : skipped + tensor.numel()].view(tensor.shape)
        return placed.copy_(tensor)

    def call(self, function: dict[str, Any], call: Any, values: dict[str, Any]) -> None:
        self.calls_made += 1
        taken = [n for n in function["passed"] if hasattr(values[n], "dtype")]
        fenced = {n: self.fence(values[n]) for n in taken}
        passed = [fenced.get(n, values[n]) for n in function["passed"]]
        parameters = {name: values[name] for name in function["parameters"]}
        with self.torch.no_grad():
            found = python_runner.results(function, call(*passed, **parameters))
            self.write(found, values)
            for name in taken:
                if name in function["updates"]:
                    values[name].copy_(fenced[name])
                elif bytes_of(self.torch, fenced[name]) != bytes_of(self.torch, values[name]):
                    raise RuntimeError(f"{function['name']} writes to its input {name}")
        del found, passed, fenced
        for copy in self.allocated:
            copy.release()
        self.allocated.clear()


class Allocating:
    """torch, but for new tensors, which `fence` makes."""

    def __init__(self, torch: Any, fence: Callable[[Any], Any]) -> None:
        self._torch, self._fence = torch, fence

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._torch, name)
        if name not in ("empty", "empty_like", "zeros", "zeros_like", "full", "full_like"):
            return found
        return lambda *arguments, **keywords: self._fence(found(*arguments, **keywords))


def bytes_of(torch: Any, tensor: Any) -> bytes:
    return bytes(tensor.contiguous().flatten().view(torch.uint8).numpy()) if tensor.numel() else b""


def prepare(library: str, artifact: dict[str, Any], torch: Any) -> None:
    """Loads the runtime and hands the object over, while files can still be read."""
    python_runner.warm(torch)
    torch.use_deterministic_algorithms(True, warn_only=True)  # and with it, what is not written is NaN
    ctypes.CDLL(artifact["runtime"], ctypes.RTLD_GLOBAL)
    bring = ctypes.PyDLL(library).ks_bring
    bring.argtypes = (ctypes.c_char_p, ctypes.c_uint64)
    artifact["bytes"] = base64.b64decode(artifact["object"])
    bring(artifact["bytes"], len(artifact["bytes"]))


def make(library: str, *arguments: Any) -> Runner:
    brought = ctypes.PyDLL(library).ks_brought
    brought.restype = ctypes.c_char_p
    return Runner(brought(), *arguments)


def main(arguments: list[str]) -> None:
    library = arguments[0]
    artifact_fd = int(arguments[arguments.index("--") + 5])
    artifact = json.loads(os.pread(artifact_fd, os.fstat(artifact_fd).st_size, 0))
    python_runner.main(arguments, partial(make, library), partial(prepare, library, artifact))


if __name__ == "__main__":
    main(sys.argv[1:])
