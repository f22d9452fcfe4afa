"""The judge's end of one runner process: shared memory, commands, and the end of it.

Raw bytes cross, never objects: the judge knows every shape. Inputs are mapped read-only on the other side (sealed
against a new writable mapping); outputs are poisoned before and copied out after. A candidate that hangs or dies
becomes a CandidateFailure; whatever happens, `close` ends the whole process tree. No candidate is loaded where an
essential protection is missing.
"""

import fcntl
import mmap
import os
import select
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from kernelsearch.build.openmp import openmp_library
from kernelsearch.build.program import native_program
from kernelsearch.errors import Infrastructure
from kernelsearch.sandbox.processes import freeze, thaw
from kernelsearch.sandbox.protection import ESSENTIAL, Unprotected, cores, harden_judge
from kernelsearch.spec.record import Status
from kernelsearch.timing.allocator import TOP_PAD_BYTES
from kernelsearch.verify.run import CandidateFailure

INPUT, OUTPUT, NUMBER = 0, 1, 2
RACE = 98  # the status of memory.cpp
GREETING, LOAD, GO, NAMES, START, PROCESS = 0, 1, 2, 3, 4, 8
# The setting that timing/allocator.py gives every other contender.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62), "MALLOC_TOP_PAD_": str(TOP_PAD_BYTES)}
CANDIDATE_MEMORY_BYTES = 2 << 30
CPU_SECONDS = 600
STARTUP_TIMEOUT_S = 20.0
MAXIMUM_MESSAGE = 600

F_ADD_SEALS, SEAL_SHRINK, SEAL_GROW, SEAL_WRITE, SEAL_FUTURE_WRITE = 1033, 2, 4, 8, 16


@dataclass(frozen=True)
class Argument:
    """One machine word for a call: where a tensor lies in a region, or a number's eight bytes."""

    kind: int
    value: int


@dataclass(frozen=True)
class Call:
    """A call of the symbol at `function` in the session's list of names."""

    function: int
    arguments: tuple[Argument, ...]

    def pack(self) -> bytes:
        words = [self.function, len(self.arguments)]
        for argument in self.arguments:
            words += [argument.kind, argument.value]
        return struct.pack(f"<{len(words)}Q", *words)


class Session:
    """One candidate in one runner. Use as a context manager; any CandidateFailure leaves it closed."""

    def __init__(
        self, command: list[str], artifact: bytes, symbols: list[str], *, region_bytes: int, threads: int
    ) -> None:
        """Starts `command` with the wiring of runner.cpp appended: descriptors, sizes of the two regions, limits.

        Raises Unprotected, before the candidate is loaded, where this machine lacks an essential protection.
        """
        harden_judge()
        self.inputs, inputs_fd = _region("inputs", region_bytes)
        self.outputs, outputs_fd = _region("outputs", region_bytes)
        fcntl.fcntl(inputs_fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW | SEAL_FUTURE_WRITE)
        fcntl.fcntl(outputs_fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW)
        self._shared = (os.dup(inputs_fd), os.dup(outputs_fd))
        artifact_fd = _sealed_copy(artifact)
        command_read, self._commands = os.pipe()
        self._responses, response_write = os.pipe()
        self._log, log_write = os.pipe()
        for end in (self._log, log_write):  # what does not fit is lost: a flood neither blocks nor fills anything
            os.set_blocking(end, False)
        theirs = (inputs_fd, outputs_fd, artifact_fd, command_read, response_write)
        wiring = (inputs_fd, region_bytes, outputs_fd, region_bytes, artifact_fd, command_read, response_write)
        limits = (2 * region_bytes + CANDIDATE_MEMORY_BYTES, CPU_SECONDS)
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, (*wiring, *limits))],
                pass_fds=theirs,
                cwd="/",
                env={"OMP_NUM_THREADS": str(threads), "LC_ALL": "C", **ALLOCATOR},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_write,
                start_new_session=True,
            )
        finally:
            for fd in (*theirs, log_write):
                os.close(fd)
        self._closed = False
        self._runner = self._process.pid
        self.protections = self._greet(threads)
        names = "\n".join(symbols).encode()
        self._send(NAMES, names)
        found = self._expect(NAMES, STARTUP_TIMEOUT_S)
        if found != len(symbols):
            self._fail(Status.CONTRACT, f"{len(symbols) - found} of the target's functions are not exported")

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process that holds the candidate; the one we started may only supervise it."""
        return self._runner

    def share(self) -> tuple[int, int]:
        """Descriptors of the inputs and the outputs, for another process of the judge's to map."""
        return self._shared

    def load(self, calls: list[Call], timeout_s: float) -> None:
        """Hands over a list of calls without running them."""
        self._refuse_unasked_answers()
        self._send(LOAD, b"".join(call.pack() for call in calls))
        self._expect(LOAD, timeout_s)

    def go(self, timeout_s: float) -> float:
        """Runs the loaded calls; returns the seconds between command and answer, by the judge's clock."""
        self._refuse_unasked_answers()
        started = time.perf_counter()
        self._send(GO, b"", length=0)
        self._expect(GO, timeout_s)
        return time.perf_counter() - started

    def freeze(self) -> None:
        """Stops every thread of the runner, so that nothing of it runs while somebody else is timed."""
        freeze(self._runner)

    def thaw(self) -> None:
        thaw(self._runner)

    def cpu_seconds(self) -> float:
        """Processor time the runner has used so far, in all its threads; in nanoseconds fine."""
        try:
            return time.clock_gettime((~self._runner << 3) | 2)  # Linux: the clock of another process
        except OSError:
            self._died()

    def close(self) -> None:
        """Kills the runner with all around it and gives the shared memory back; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._commands)
        os.close(self._responses)
        for fd in self._shared:
            os.close(fd)
        os.close(self._log)
        for region in (self.inputs, self.outputs):
            try:
                region.close()
            except BufferError:  # a tensor still looks into it: freed when the tensor is
                pass

    def _greet(self, threads: int) -> int:
        """Pins the runner to as many cores as it may have threads; returns the protections that hold."""
        kind, value = self._receive(STARTUP_TIMEOUT_S)
        if kind == PROCESS:
            self._runner = value
        os.sched_setaffinity(self._runner, cores(threads))
        if kind == PROCESS:
            self._send(START, b"")
            kind, value = self._receive(STARTUP_TIMEOUT_S)
        if ESSENTIAL & ~value:
            self.close()
            raise Unprotected(value)
        return value

    def _send(self, kind: int, payload: bytes, length: int | None = None) -> None:
        data = struct.pack("<II", kind, len(payload) if length is None else length) + payload
        try:
            while data:
                data = data[os.write(self._commands, data) :]
        except BrokenPipeError:
            self._died()

    def _receive(self, timeout_s: float) -> tuple[int, int]:
        ready, _, _ = select.select([self._responses], [], [], timeout_s)
        if not ready:
            self._fail(Status.TIMEOUT, f"no answer within {timeout_s:.0f} s")
        data = os.read(self._responses, 8)
        if len(data) < 8:
            self._died()
        kind, value = struct.unpack("<II", data)
        return kind, value

    def _expect(self, wanted: int, timeout_s: float) -> int:
        kind, value = self._receive(timeout_s)
        if kind != wanted:
            self._fail(Status.INTEGRITY, "answered something that it was not asked")
        return value

    def _refuse_unasked_answers(self) -> None:
        ready, _, _ = select.select([self._responses], [], [], 0)
        if ready and os.read(self._responses, 8):
            self._fail(Status.INTEGRITY, "answered before it was asked")

    def _died(self) -> NoReturn:
        status = self._process.wait()
        text = self._last_words()
        if status == RACE:
            self._fail(Status.DETERMINISM, text)
        if status == 96:
            self._fail(Status.CONTRACT, f"cannot be loaded: {text}")
        if status == 97:
            self.close()
            raise Infrastructure(text)
        if -status == signal.SIGSYS:
            self._fail(Status.INTEGRITY, "used a system call that a kernel does not need (files, network, processes)")
        if -status == signal.SIGXCPU:
            self._fail(Status.TIMEOUT, f"used more than {CPU_SECONDS} s of processor time")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        self._fail(Status.CRASH, f"the process ended with {how}{': ' + text if text else ''}")

    def _last_words(self) -> str:
        """The start of what the runner printed, which a candidate may have written: printable characters only."""
        try:
            data = os.read(self._log, MAXIMUM_MESSAGE)
        except BlockingIOError:
            return ""
        return "".join(c if c.isprintable() else " " for c in data.decode(errors="replace")).strip()

    def _fail(self, status: Status, detail: str) -> NoReturn:
        self.close()
        raise CandidateFailure(status, detail)


def native_command(cache_dir: Path) -> list[str]:
    """The runner of compiled candidates, told which OpenMP runtime is the one for all."""
    return [str(runner_program(cache_dir)), openmp_library()]


def runner_program(cache_dir: Path) -> Path:
    """The runner's executable, compiled once; the mathematics and unwinder that candidates call are loaded with it."""
    return native_program(
        Path(__file__).parent / "runner.cpp", cache_dir, ("-ldl", "-Wl,--no-as-needed", "-lm", "-lgcc_s")
    )


def _region(name: str, size: int) -> tuple[mmap.mmap, int]:
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return mmap.mmap(fd, size), fd


def _sealed_copy(artifact: bytes) -> int:
    """The artifact's bytes in memory that nobody can change any more: what is checked is what is loaded."""
    fd = os.memfd_create("artifact", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    data = artifact
    while data:
        data = data[os.write(fd, data) :]
    fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_GROW | SEAL_WRITE)
    return fd
