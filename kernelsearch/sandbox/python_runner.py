"""The untrusted side for Python candidates: arbitrary code in a process of its own, called when told to.

    python -I -S -B python_runner.py LIBRARY PATHS SITE... -- (the wiring of runner.cpp)

Standard library and torch only: nothing of ours is importable here. torch is imported first, while files can still be
read everywhere; then the process gives up its power (python_confine.cpp); only then the candidate's text is executed.
What it patches in here is its own: answers of this process are not believed, the judge compares what lies in memory.

Commands are those of runner.cpp. The artifact is a JSON document: `source`, `tunables`, and for each symbol of NAMES a
function with its `arguments` in the order of the words of a call.
"""

import contextlib
import ctypes
import json
import mmap
import os
import struct
import sys
import types
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

GREETING, LOAD, GO, NAMES, START = 0, 1, 2, 3, 4
NOT_LOADED, RAISED, OUR_FAULT = 96, 1, 97


class Runner:
    """The regions, the candidate's functions, and the calls that were loaded."""

    def __init__(self, torch: Any, artifact: dict[str, Any], inputs: mmap.mmap, outputs: mmap.mmap) -> None:
        self.torch, self.artifact = torch, artifact
        self.regions = (inputs, outputs)
        self.module: types.ModuleType | None = None
        self.functions: list[dict[str, Any]] = []
        self.calls: list[Callable[[], None]] = []

    def find(self, symbols: list[str]) -> int:
        """Executes the candidate's text, and finds its functions; a backward that is not there is left to autograd."""
        if self.module is None:
            self.module = types.ModuleType("candidate")
            self.module.__dict__.update(self.artifact["tunables"])
            exec(compile(self.artifact["source"], "candidate.py", "exec"), self.module.__dict__)
        self.functions = [self.artifact["functions"][symbol] for symbol in symbols]
        for function in self.functions:
            if "forward" not in function and not callable(getattr(self.module, function["name"], None)):
                arguments = ", ".join([*function["passed"], *function["parameters"]])
                raise NameError(f"the function {function['name']}({arguments}) is not defined")
        return len(self.functions)

    def load(self, words: tuple[int, ...]) -> None:
        self.calls.clear()
        at = 0
        while at < len(words):
            function, count = self.functions[words[at]], words[at + 1]
            pairs = [(words[i], words[i + 1]) for i in range(at + 2, at + 2 + 2 * count, 2)]
            self.calls.append(self.make_call(function, self.bind(function, pairs)))
            at += 2 + 2 * count

    def bind(self, function: dict[str, Any], pairs: list[tuple[int, int]]) -> dict[str, Any]:
        """The arguments of a call by name: views of the regions, and numbers."""
        values: dict[str, Any] = {}
        for argument, (_, value) in zip(function["arguments"], pairs, strict=True):
            if argument["axes"] is None:
                data = struct.pack("<Q", value)
                values[argument["name"]] = struct.unpack("<f4x" if argument["dtype"] == "float" else "<q", data)[0]
        for argument, (kind, value) in zip(function["arguments"], pairs, strict=True):
            if argument["axes"] is not None:
                shape = [values[axis] for axis in argument["axes"]]
                values[argument["name"]] = self.view(kind, value, shape, argument["dtype"])
        return values

    def view(self, kind: int, offset: int, shape: list[int], dtype: str) -> Any:
        element = getattr(self.torch, dtype)
        count = 1
        for size in shape:
            count *= size
        if count == 0:
            return self.torch.empty(shape, dtype=element)
        return self.torch.frombuffer(self.regions[kind], dtype=element, count=count, offset=offset).reshape(shape)

    def make_call(self, function: dict[str, Any], values: dict[str, Any]) -> Callable[[], None]:
        call = getattr(self.module, function["name"], None)
        if callable(call):
            return partial(self.call, function, call, values)
        return partial(self.differentiate, function, values)

    def call(self, function: dict[str, Any], call: Callable[..., Any], values: dict[str, Any]) -> None:
        parameters = {name: values[name] for name in function["parameters"]}
        with self.torch.no_grad():
            self.write(results(function, call(*(values[n] for n in function["passed"]), **parameters)), values)

    def differentiate(self, backward: dict[str, Any], values: dict[str, Any]) -> None:
        """Autograd of the forward, which runs again: nothing but declared tensors passes from one call to the next."""
        forward = self.artifact["functions"][backward["forward"]]
        leaves = {n: values[n].detach().requires_grad_(n in backward["gradients"]) for n in forward["passed"]}
        parameters = {name: values[name] for name in forward["parameters"]}
        found = results(forward, getattr(self.module, forward["name"])(*leaves.values(), **parameters))
        names = [n for n in found if f"d{n}" in values]
        gradients = self.torch.autograd.grad(
            [found[n] for n in names],
            [leaves[n] for n in backward["gradients"]],
            [values[f"d{n}"] for n in names],
            materialize_grads=True,
        )
        self.write(dict(zip(backward["results"], gradients, strict=True)), values)

    def write(self, found: dict[str, Any], values: dict[str, Any]) -> None:
        for name, tensor in found.items():
            place = values[name]
            if not isinstance(tensor, self.torch.Tensor) or tensor.shape != place.shape or tensor.dtype != place.dtype:
                wanted = f"{place.dtype} of shape {tuple(place.shape)}"
                got = (
                    f"{tensor.dtype} of shape {tuple(tensor.shape)}" if hasattr(tensor, "shape") else repr(tensor)[:80]
                )
                raise TypeError(f"{name} must be a tensor {wanted}, not {got}")
            place.copy_(tensor.detach())

    def go(self) -> None:
        for call in self.calls:
            call()


def results(function: dict[str, Any], returned: Any) -> dict[str, Any]:
    """What a candidate's function returned, by the contract's names."""
    names = function["results"]
    listed = list(returned) if isinstance(returned, tuple | list) else [] if returned is None else [returned]
    if len(listed) != len(names):
        raise TypeError(f"{function['name']} returns {len(listed)} values; the contract has ({', '.join(names)})")
    return dict(zip(names, listed, strict=True))


def serve(runner: Runner, commands: int, responses: int) -> NoReturn:
    """Obeys until the judge closes the pipe. Never returns: what the candidate left to run at exit does not run."""
    while True:
        kind, length = struct.unpack("<II", read_exactly(commands, 8))
        found = len(runner.calls)
        if kind == NAMES:
            symbols = read_exactly(commands, length).decode().split("\n")
            found = guarded(partial(runner.find, symbols), NOT_LOADED)
        elif kind == LOAD:
            runner.load(struct.unpack(f"<{length // 8}Q", read_exactly(commands, length)))
            found = len(runner.calls)
        elif kind == GO:
            guarded(runner.go, RAISED)
        else:
            end(OUR_FAULT, f"unknown command {kind}")
        os.write(responses, struct.pack("<II", kind, found))


def guarded(action: Callable[[], Any], status: int) -> Any:
    try:
        return action()
    except BaseException as error:  # also SystemExit: leaving early is not an answer
        end(status, f"{type(error).__name__}: {error}")


def end(status: int, text: str) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="replace")[:500])
    os._exit(status)


def read_exactly(fd: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        got = os.read(fd, count - len(data))
        if not got:
            os._exit(0)
        data += got
    return data


def warm(torch: Any) -> None:
    """Lets torch look at the processor while it still can; without threads, which the confinement would not reach."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(4, 4, dtype=dtype, requires_grad=True)
        torch.autograd.grad((a @ a).sum(), a)
    torch.set_num_threads(threads)


def close_all_but(*kept: int) -> None:
    """The regions' descriptors go, also the copies that mmap keeps: mapped memory needs none."""
    edges = [2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]
    for low, high in pairwise(edges):
        os.closerange(low + 1, min(high, 1 << 16))


def address_space_bytes() -> int:
    """What the interpreter, torch and the regions take before the candidate begins."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * mmap.PAGESIZE


def main(arguments: list[str], make: Callable[..., Runner] = Runner, prepare: Callable[[Any], None] = warm) -> NoReturn:
    """Obeys as a runner made by `make`; `prepare` loads what it needs before the power to do so is given up."""
    split = arguments.index("--")
    library, paths, *sites = arguments[:split]
    wiring = [int(word) for word in arguments[split + 1 :]]
    inputs_fd, inputs_bytes, outputs_fd, outputs_bytes, artifact_fd, commands, responses, memory, cpu_seconds = wiring
    slot = os.getpid()
    confine = ctypes.PyDLL(library)  # keeps the interpreter's lock while it forks
    held = confine.ks_enter(commands, responses)
    if struct.unpack("<II", read_exactly(commands, 8))[0] != START:
        os._exit(0)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # or numpy starts threads that the confinement would not reach
    sys.path += sites
    import torch

    prepare(torch)
    inputs = mmap.mmap(inputs_fd, inputs_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
    outputs = mmap.mmap(outputs_fd, outputs_bytes)
    artifact = json.loads(os.pread(artifact_fd, os.fstat(artifact_fd).st_size, 0))
    close_all_but(commands, responses)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    sys.argv = ["candidate.py"]
    memory += address_space_bytes()
    give_up = confine.ks_give_up_power
    give_up.argtypes = (ctypes.c_uint32, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64)
    protections = give_up(held, slot, paths.encode(), memory, cpu_seconds)
    os.write(responses, struct.pack("<II", GREETING, protections & 0xFFFFFFFF))
    serve(make(torch, artifact, inputs, outputs), commands, responses)


if __name__ == "__main__":
    main(sys.argv[1:])
