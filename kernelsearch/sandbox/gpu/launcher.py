"""The launcher: a process of ours that holds one candidate on the GPU, obeys the judge, and owns the clock.

    python -m kernelsearch.sandbox.gpu.launcher SOCKET_FD PLACE

It is trusted, the candidate's device code is not: every tensor that it is given, or allocates, lies between fences that
are checked after the call, what a kernel only reads is compared with what it was, and results leave as copies, to be
judged in another process that this one never learns the answers of. A kernel that hangs or faults costs this process
alone.
"""

import ctypes
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernelsearch.build.on_device import load_candidate
from kernelsearch.errors import EnvironmentMissing
from kernelsearch.sandbox.gpu.channel import Closed, receive, send
from kernelsearch.sandbox.gpu.device import Device, measure_peaks, open_device
from kernelsearch.sandbox.gpu.window import Windows

PR_SET_PDEATHSIG = 1
ALLOCATIONS = frozenset(("empty", "empty_like", "zeros", "zeros_like", "full", "full_like"))
FENCE = 1024  # elements on either side of a tensor
Answer = tuple[Any, dict[str, Tensor]]


class Trespass(Exception):
    """A kernel wrote where it must not."""


class Launcher:
    """The candidate's host functions and what is staged for timing."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.found: dict[str, Any] = {}
        self.windows: Windows | None = None

    def answer(self, command: str, payload: dict[str, Any], tensors: dict[str, Tensor]) -> Answer:
        commands: dict[str, Callable[..., Any]] = {
            "probe": self.probe,
            "peaks": lambda: measure_peaks(self.device),
            "load": self.load,
            "call": self.call,
            "stage": self.stage,
        }
        if command in commands:
            given = payload | ({"tensors": tensors} if command in ("call", "stage") else {})
            answer = commands[command](**given)
        else:
            assert self.windows is not None, f"{command} before stage"
            answer = getattr(self.windows, command)(**payload)
        return answer if isinstance(answer, tuple) else (answer, {})

    def probe(self) -> dict[str, Any]:
        """What this device is, after a product whose answer is known."""
        a = torch.arange(64, device=self.device.place, dtype=torch.float32).reshape(8, 8)
        if float((a @ torch.eye(8, device=self.device.place)).sum()) != 2016.0:
            raise RuntimeError("the device computes wrong: 8 x 8 product with the identity")
        return self.device.describe()

    def load(self, source: str, language: str, tunables: dict[str, int], dtype: str) -> None:
        self.found = load_candidate(source, language, tunables, dtype)

    def call(
        self, function: str, order: list[str], numbers: dict[str, Any], updates: list[str], tensors: dict[str, Tensor]
    ) -> Answer:
        """One call of a host function on fenced copies; returns its results by position, and what it updated."""
        fenced = {name: Fenced(tensor, self.device) for name, tensor in tensors.items()}
        allocations = FencedAllocations(self.device)
        with torch.no_grad(), filled_with_nan():
            self.found["torch"] = allocations  # the host functions' global, put back before anything is timed
            try:
                returned = self.found[function](*(fenced[name].tensor for name in order), **numbers)
            finally:
                self.found["torch"] = torch
        self.device.synchronize()
        allocations.check()
        results = [] if returned is None else list(returned) if isinstance(returned, tuple | list) else [returned]
        for name, copy in fenced.items():
            copy.check(name, may_change=name in updates)
        kept = {str(index): tensor for index, tensor in enumerate(results)}
        return len(results), kept | {name: fenced[name].tensor for name in updates}

    def stage(self, **setting: Any) -> dict[str, Any]:
        self.windows = Windows(self.device, self.found, **setting)
        return self.windows.describe()


class Fenced:
    """A copy of a tensor on the device between fences of a pattern that kernels have no reason to write."""

    def __init__(self, tensor: Tensor, device: Device) -> None:
        count = tensor.numel()
        self._whole = torch.empty(count + 2 * FENCE, dtype=tensor.dtype, device=device.place)
        # Drawn on the CPU: where a capture has failed, torch's generator for the device refuses to draw.
        pattern = torch.randint(1, 100, (2 * FENCE,)).to(device.place, tensor.dtype)
        self._whole[:FENCE], self._whole[FENCE + count :] = pattern[:FENCE], pattern[FENCE:]
        self.tensor = self._whole[FENCE : FENCE + count].reshape(tensor.shape)
        self.tensor.copy_(tensor)
        self._before, self._pattern = self.tensor.clone(), pattern

    def check(self, name: str, *, may_change: bool) -> None:
        count = self.tensor.numel()
        found = torch.cat([self._whole[:FENCE], self._whole[FENCE + count :]])
        if not torch.equal(found, self._pattern):
            raise Trespass(f"writes outside {name}")
        if not may_change and not torch.equal(_bits(self.tensor), _bits(self._before)):
            raise Trespass(f"writes {name}, which it may only read")


class FencedAllocations:
    """Stands for torch in host functions: what its functions allocate lies between fences too."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._made: list[Fenced] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(torch, name)
        if name not in ALLOCATIONS:
            return found

        def allocate(*arguments: Any, **keywords: Any) -> Tensor:
            self._made.append(Fenced(found(*arguments, **keywords), self._device))
            return self._made[-1].tensor

        return allocate

    def check(self) -> None:
        for copy in self._made:
            copy.check("what the host function allocated", may_change=True)


class filled_with_nan:  # noqa: N801 (used like a function)
    """While it holds, memory that torch.empty returns is full of NaN, so that what is not written shows."""

    def __enter__(self) -> None:
        torch.use_deterministic_algorithms(True, warn_only=True)

    def __exit__(self, *_: object) -> None:
        torch.use_deterministic_algorithms(False)


# What an answer calls an error that is not simply the candidate's.
KINDS: dict[type[BaseException], str] = {Trespass: "trespass", EnvironmentMissing: "missing"}


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def serve(channel: socket.socket, launcher: Launcher) -> None:
    """Obeys until the judge closes the channel. What a command raises is its answer, and the end of this process."""
    while True:
        (command, payload), tensors = receive(channel)
        try:
            answer, found = launcher.answer(command, payload, tensors)
            send(channel, {"answer": answer}, found)
        except Closed:
            raise
        except BaseException as error:
            kind = KINDS.get(type(error), "raised")
            where = "".join(traceback.format_exception(error, limit=-2))[-600:]
            text = str(error) if kind == "missing" else f"{type(error).__name__}: {error}"
            send(channel, {kind: text[:600], "where": where})
            return


def end_with_parent() -> None:
    """A judge that is killed leaves no launcher behind that waits for a kernel which never ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    end_with_parent()
    channel = socket.socket(fileno=int(sys.argv[1]))
    try:
        launcher = Launcher(open_device(sys.argv[2]))
        send(channel, {"answer": "ready"})
        serve(channel, launcher)
    except Closed:
        pass


if __name__ == "__main__":
    main()
