"""The judge's end of the baseline's process (baseline_worker.py): the same questions as a runner gets, timed alike."""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
import weakref
from typing import Any

from kernelsearch.errors import Infrastructure
from kernelsearch.sandbox.baseline_worker import (
    BACKWARD,
    CLOSE,
    COMPARE,
    FAILED,
    FORWARD,
    OPEN,
    PREPARE,
    SNAPSHOT,
)
from kernelsearch.sandbox.layout import Layout
from kernelsearch.sandbox.processes import freeze, thaw
from kernelsearch.sandbox.protection import cores
from kernelsearch.sandbox.session import Session
from kernelsearch.spec.library import TargetFolder
from kernelsearch.spec.workload import Workload

STARTUP_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 120.0


class BaselineProcess:
    """A worker with `threads` threads; started at once, first waited for when it is used. Ends with its owner.

    Each thread has a core of its own, as the candidate's have (processes.Spread).
    """

    def __init__(self, threads: int) -> None:
        self._channel, theirs = socket.socketpair()
        command = [sys.executable, "-m", "kernelsearch.sandbox.baseline_worker", str(theirs.fileno()), str(threads)]
        places = ",".join(f"{{{core}}}" for core in sorted(cores(threads)))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_PROC_BIND": "true", "OMP_PLACES": places}
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        self._is_ready = False
        self.close = weakref.finalize(self, _end, self._process, self._channel)

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, folder: TargetFolder, workload: Workload, layouts: list[Layout], session: Session) -> None:
        """Shares a session's memory; slots as laid out."""
        slots = [{n: (p.kind, p.offset, p.shape, p.dtype) for n, p in layout.places.items()} for layout in layouts]
        setting = {
            "folder": str(folder.path),
            "workload": workload.as_json(),
            "slots": slots,
            "bytes": len(session.inputs),
        }
        self._command(OPEN, setting, fds=list(session.share()))

    def release(self) -> None:
        """Gives the memory of the last `open` back."""
        self._command(CLOSE)

    def snapshot(self, indices: list[int]) -> None:
        self._command(SNAPSHOT, indices)

    def prepare(self, indices: list[int]) -> None:
        self._command(PREPARE, indices)

    def run(self, *, backward: bool) -> float:
        """Runs the prepared calls, forward or backward; returns the seconds from command to answer, by our clock."""
        started = time.perf_counter()
        self._command(BACKWARD if backward else FORWARD)
        return time.perf_counter() - started

    def compare(self) -> dict[str, float]:
        """Relative distance of a candidate's outputs in the same slots from the last window's answers, by name."""
        found: dict[str, float] = self._command(COMPARE)
        return found

    def freeze(self) -> None:
        freeze(self._process.pid)

    def thaw(self) -> None:
        thaw(self._process.pid)

    def _command(self, kind: int, value: Any = None, fds: list[int] | None = None) -> Any:
        if not self._is_ready:
            self._receive(STARTUP_TIMEOUT_S)
            self._is_ready = True
        payload = b"" if value is None else json.dumps(value).encode()
        try:
            socket.send_fds(self._channel, [struct.pack("<II", kind, len(payload))], fds or [])
            self._channel.sendall(payload)
        except BrokenPipeError:
            raise Infrastructure("the baseline's process has ended") from None
        return self._receive(COMMAND_TIMEOUT_S)

    def _receive(self, timeout_s: float) -> Any:
        if not select.select([self._channel], [], [], timeout_s)[0]:
            raise Infrastructure(f"the baseline's process gave no answer within {timeout_s:.0f} s")
        head = self._channel.recv(8)
        if len(head) < 8:
            raise Infrastructure("the baseline's process has ended")
        kind, length = struct.unpack("<II", head)
        payload = b""
        while len(payload) < length:
            payload += self._channel.recv(length - len(payload))
        value = json.loads(payload) if payload else None
        if kind == FAILED:
            raise Infrastructure(f"the baseline's process failed: {value}")
        return value


def _end(process: "subprocess.Popen[bytes]", channel: socket.socket) -> None:
    channel.close()
    process.kill()
    process.wait()
