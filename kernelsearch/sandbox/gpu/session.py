"""The judge's end of one launcher: commands with a time limit, and the end of it, whatever happens.

A launcher that hangs is killed, one that dies has faulted; either is the candidate's verdict, and the next launcher
starts with a fresh context after the device was probed.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

from torch import Tensor

from kernelsearch.errors import EnvironmentMissing, Infrastructure
from kernelsearch.sandbox.gpu.channel import Closed, Late, receive, send
from kernelsearch.spec.record import Status
from kernelsearch.verify.run import CandidateFailure

START_TIMEOUT_S, CALL_TIMEOUT_S, END_TIMEOUT_S = 120.0, 60.0, 30.0
TAIL_BYTES = 600
LAUNCHER = "kernelsearch.sandbox.gpu.launcher"


class GpuSession:
    """One launcher process. `prefix` is a program that runs it, such as compute-sanitizer with its options."""

    def __init__(self, place: str, *, prefix: tuple[str, ...] = (), timeout_s: float = CALL_TIMEOUT_S) -> None:
        ours, theirs = socket.socketpair()
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        if place == "cpu":
            environment["TRITON_INTERPRET"] = "1"
        if prefix:
            environment["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"  # each tensor an allocation of its own, with an edge
        self._timeout_s = timeout_s
        self._said = tempfile.TemporaryFile()  # a pipe that nobody reads would stop a launcher that warns a lot
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", LAUNCHER, str(theirs.fileno()), place],
                pass_fds=(theirs.fileno(),),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._said,  # compute-sanitizer reports there
                stderr=self._said,
                start_new_session=True,
            )
        self._channel = ours
        try:
            receive(ours, START_TIMEOUT_S)
            self.device: dict[str, Any] = self.ask("probe")[0]
        except (Late, Closed, CandidateFailure) as error:
            raise Infrastructure(f"the device does not answer: {error} {self.close()}"[:600]) from None

    def __enter__(self) -> "GpuSession":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def ask(
        self, command: str, payload: Mapping[str, Any] | None = None, tensors: Mapping[str, Tensor] | None = None
    ) -> tuple[Any, dict[str, Tensor]]:
        """The answer, and tensors that came with it; CandidateFailure for a fault, a hang, or what was raised.

        EnvironmentMissing where the launcher lacks a package.
        """
        try:
            send(self._channel, [command, dict(payload or {})], tensors)
            answer, found = receive(self._channel, self._timeout_s)
        except Late:
            self.close()
            raise CandidateFailure(Status.TIMEOUT, f"no answer within {self._timeout_s:.0f} s") from None
        except Closed:
            self._died()
        if "trespass" in answer:
            self.close()
            raise CandidateFailure(Status.INTEGRITY, str(answer["trespass"]))
        if "missing" in answer:
            self.close()
            raise EnvironmentMissing(str(answer["missing"]))
        if "raised" in answer:
            self.close()
            raise CandidateFailure(Status.CRASH, str(answer["raised"]), str(answer["where"]))
        return answer["answer"], found

    def close(self) -> str:
        """Ends the launcher and all it started; returns the end of what it printed. Safe to call twice."""
        self._channel.close()
        try:
            self._process.wait(END_TIMEOUT_S if self._process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._said.closed:
            return ""
        with self._said as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    @property
    def status(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def _died(self) -> NoReturn:
        said = self.close()
        raise CandidateFailure(Status.CRASH, f"the launcher ended with status {self.status}", said or None)
