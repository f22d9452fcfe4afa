"""The baseline's process: answers windows of calls as training does today, beside a candidate's runner.

    python -m kernelsearch.sandbox.baseline_worker SOCKET_FD THREADS

Trusted code in a process of its own, so that both contenders are asked and timed in the same way, neither shares a
heap or a thread pool with the judge, and either is stopped while the other runs. It also compares every output of a
candidate's window with what it made of the same inputs itself.
"""

import ctypes
import gc
import json
import mmap
import signal
import socket
import struct
import sys
import traceback
import warnings
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.sandbox.layout import Place, view
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.target import Parameters
from kernelsearch.spec.workload import Workload
from kernelsearch.timing.allocator import keep_freed_memory
from kernelsearch.verify.oracle import contract_baseline

OPEN, SNAPSHOT, PREPARE, FORWARD, BACKWARD, COMPARE, CLOSE, FAILED = range(1, 9)
CHECK_ELEMENTS = 2**20
PR_SET_PDEATHSIG = 1


class Match:
    """One workload's slots, seen from the baseline's side."""

    def __init__(self, setting: dict[str, Any], inputs_fd: int, outputs_fd: int) -> None:
        self._folder = TargetFolder(Path(setting["folder"]))
        self._workload = Workload(**setting["workload"])
        self._entry = self._folder.target.entry(self._workload.entry)
        self._function = contract_baseline(self._folder, self._entry)
        self._parameters: Parameters = dict(self._workload.parameters)
        regions = [memoryview(mmap.mmap(fd, setting["bytes"], prot=mmap.PROT_READ)) for fd in (inputs_fd, outputs_fd)]
        places = [{n: Place(p[0], p[1], tuple(p[2]), p[3]) for n, p in slot.items()} for slot in setting["slots"]]
        self._slots = [{n: view(regions[p.kind], p) for n, p in slot.items()} for slot in places]
        self._initial: list[dict[str, Tensor]] = [{} for _ in self._slots]
        self._state: list[dict[str, Tensor]] = [{} for _ in self._slots]
        self._work: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
        self._answers: list[dict[str, Tensor]] = []
        self._indices: list[int] = []
        self._norms: dict[str, float] = {}

    def snapshot(self, indices: list[int]) -> None:
        """Keeps the tensors that are updated in place, before anybody updates them."""
        for index in indices:
            self._initial[index] = {n: self._slots[index][n].clone() for n in self._entry.updates}
            self._state[index] = {n: t.clone() for n, t in self._initial[index].items()}

    def prepare(self, indices: list[int]) -> None:
        for index in indices:
            for name, initial in self._initial[index].items():
                self._state[index][name].copy_(initial)
        self._work = [(self._leaves(index), self._slots[index]) for index in indices]
        self._answers, self._indices = [], indices

    def forward(self) -> None:
        self._answers = [self._function(leaves, self._parameters) for leaves, _ in self._work]

    def backward(self) -> None:
        """As training makes it: the last call's gradients first."""
        for (leaves, slot), answers in zip(reversed(self._work), reversed(self._answers), strict=True):
            names = [t.name for t in self._entry.outputs]
            wanted = [leaves[n] for n in self._entry.gradients]
            found = torch.autograd.grad([answers[n] for n in names], wanted, [slot[f"d{n}"] for n in names])
            answers |= {f"d{n}": g for n, g in zip(self._entry.gradients, found, strict=True)}

    def compare(self) -> dict[str, float]:
        """By output, the largest distance between what lies in a slot and what this side made of it.

        In units of the largest norm seen so far: a tensor of one element may cancel to next to nothing.
        """
        worst: dict[str, float] = {}
        for index, answers in zip(self._indices, self._answers, strict=True):
            for name, answer in answers.items():
                gap, norm = _gap_and_norm(self._slots[index][name], answer.detach())
                self._norms[name] = max(norm, self._norms.get(name, 1e-30))
                distance = gap / self._norms[name]
                # not (distance <= worst): written this way so that NaN stays.
                if not distance <= worst.get(name, 0.0) and not isnan(worst.get(name, 0.0)):
                    worst[name] = distance
        return {name: worst.get(name, 0.0) for name in self._norms}

    def _leaves(self, index: int) -> dict[str, Tensor]:
        slot = self._slots[index]
        leaves = {t.name: slot[t.name] for t in self._entry.inputs} | self._state[index]
        return {n: t.detach().requires_grad_(n in self._entry.gradients) for n, t in leaves.items()}


def _gap_and_norm(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Norms of the difference and of `theirs`, piece by piece: a whole difference would be one tensor more."""
    gap = norm = 0.0
    pieces = (torch.split(x.reshape(-1), CHECK_ELEMENTS) for x in (ours, theirs))
    for a, b in zip(*pieces, strict=True):
        gap += float((a - b).float().square().sum())
        norm += float(b.float().square().sum())
    return gap**0.5, norm**0.5


def serve(channel: socket.socket) -> None:
    match: Match | None = None
    while True:
        kind, payload, fds = _receive(channel)
        answer: Any = None
        if kind == OPEN:
            match = Match(payload, *fds)
            for fd in fds:
                socket.close(fd)
        elif kind == CLOSE:
            match = None
            gc.collect()
        elif match is not None:
            answer = _answer(match, kind, payload)
        _send(channel, kind, answer)


def _answer(match: Match, kind: int, payload: Any) -> Any:
    if kind == SNAPSHOT:
        return match.snapshot(payload)
    if kind == PREPARE:
        return match.prepare(payload)
    commands = {FORWARD: match.forward, BACKWARD: match.backward, COMPARE: match.compare}
    return commands[kind]()


def _send(channel: socket.socket, kind: int, value: Any) -> None:
    payload = b"" if value is None else json.dumps(value).encode()
    channel.sendall(struct.pack("<II", kind, len(payload)) + payload)


def _receive(channel: socket.socket) -> tuple[int, Any, list[int]]:
    head, fds, _, _ = socket.recv_fds(channel, 8, 2)
    if len(head) < 8:
        sys.exit(0)
    kind, length = struct.unpack("<II", head)
    payload = b""
    while len(payload) < length:
        payload += channel.recv(length - len(payload))
    return kind, json.loads(payload) if payload else None, fds


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the judge decides when this ends
    warnings.filterwarnings("ignore", message="The given buffer is not writable")
    channel = socket.socket(fileno=int(sys.argv[1]))
    keep_freed_memory()
    torch.set_num_threads(int(sys.argv[2]))
    gc.disable()
    _send(channel, 0, None)
    try:
        serve(channel)
    except Exception:
        _send(channel, FAILED, traceback.format_exc(limit=-3))


if __name__ == "__main__":
    main()
