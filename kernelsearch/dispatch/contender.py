"""One side of a comparison: a trainer in its own process that answers JSON lines, one for each command.

    {"cmd": "init", ...}         -> {"ok": true, ...}
    {"cmd": "step", "count": N}  -> {"ok": true, "losses": [...], "seconds": [...], "tokens": T}
    {"cmd": "evaluate"}          -> {"ok": true, "bpb": X, "seconds": S}
    {"cmd": "report"}            -> {"ok": true, "report": {...} or null, "peak_bytes": N}
    {"cmd": "exit"}              -> {"ok": true}
    a command that failed        -> {"ok": false, "error": TEXT}

Between two commands the process sleeps in a read, so the other side has the machine to itself. Whatever happens,
leaving the `with` block ends the process and all that it started.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kernelsearch.errors import Infrastructure

GRACE_S = 2.0
TAIL_BYTES = 2000


@dataclass(frozen=True)
class Contender:
    """How to start one side: its command line, and the fields of its init command."""

    command: tuple[str, ...]
    init: Mapping[str, Any]
    environment: Mapping[str, str] | None = None


class Trainer:
    """A running contender. Every failure is an Infrastructure error that names the side."""

    def __init__(self, name: str, contender: Contender, timeout_s: float) -> None:
        self.name = name
        self._contender = contender
        self._timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()
        self._unread = b""

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                self._contender.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._contender.environment,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise Infrastructure(f"training: {self.name} worker cannot be started: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._leave_in_peace()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # before wait(): until then the group's id is ours
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                with contextlib.suppress(OSError):
                    stream.close()  # type: ignore[union-attr]

    def init(self) -> dict[str, Any]:
        return self._ask({"cmd": "init", **self._contender.init})

    def step(self, count: int) -> tuple[list[float], list[float], int]:
        """(losses, seconds, tokens) of `count` steps."""
        answer = self._ask({"cmd": "step", "count": count}, "losses", "seconds", "tokens")
        losses, seconds = answer["losses"], answer["seconds"]
        if len(losses) != count or len(seconds) != count:
            raise self._broken(f"answered {len(losses)} losses and {len(seconds)} times to {count} steps")
        return losses, seconds, answer["tokens"]

    def evaluate(self) -> float:
        """Bits per byte on the validation data."""
        return float(self._ask({"cmd": "evaluate"}, "bpb")["bpb"])

    def report(self) -> dict[str, Any]:
        """What the worker's kernels report of themselves; empty where it has none."""
        return self._ask({"cmd": "report"}, "report")["report"] or {}

    def peak_bytes(self) -> int:
        """The most memory that the worker had resident so far."""
        return int(self._ask({"cmd": "report"}, "peak_bytes")["peak_bytes"])

    def _ask(self, command: dict[str, Any], *wanted: str) -> dict[str, Any]:
        self._send(command)
        line = self._read_line(command["cmd"])
        try:
            answer = json.loads(line)
        except ValueError:
            raise self._broken(f"answered {line[:200]!r} to {command['cmd']}, which is not JSON") from None
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            text = answer.get("error") if isinstance(answer, dict) else None
            raise self._broken(f"refused {command['cmd']}: {text or line[:200]!r}")
        missing = [name for name in wanted if name not in answer]
        if missing:
            raise self._broken(f"answered {command['cmd']} without {', '.join(missing)}")
        return answer

    def _send(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
        except OSError:
            raise self._died(command["cmd"]) from None

    def _read_line(self, name: str) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._broken(f"gave no answer to {name} within {self._timeout_s:g} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._died(name)
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _died(self, name: str) -> Infrastructure:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        return self._broken(f"ended with status {self._process.poll()} during {name}")

    def _broken(self, what: str) -> Infrastructure:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - TAIL_BYTES))
        tail = self._errors.read().decode(errors="replace").strip()
        return Infrastructure(f"training: {self.name} worker {what}" + (f"; it last wrote:\n{tail}" if tail else ""))

    def _leave_in_peace(self) -> None:
        """Ask the process to end; one that does not is ended by the caller."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._process.stdin.write(b'{"cmd": "exit"}\n')
            self._process.stdin.close()
            deadline = time.monotonic() + GRACE_S
            while time.monotonic() < deadline and not self._has_ended():
                time.sleep(0.01)

    def _has_ended(self) -> bool:
        """Whether the process has ended; it is not reaped here, so that its group's id stays ours."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
