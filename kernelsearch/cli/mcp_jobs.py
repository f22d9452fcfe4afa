"""Judgements that clients of the server asked for: each a `kernelsearch check` of its own, one after the other.

A process a judgement keeps the server small and answering: what a judgement breaks, it breaks alone, and it may be
killed with all that it started. The turn that the process takes also holds against studies that somebody runs beside.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.spec.library import SUFFIXES

MAXIMUM_SOURCE_BYTES = 256 * 1024
MAXIMUM_WAITING = 16
MAXIMUM_KEPT = 200
TAIL_BYTES = 4000


@dataclass(frozen=True)
class Question:
    """What is to be judged. `flags` are those of `kernelsearch check`."""

    target: str
    source: str
    language: str
    workload: str | None = None
    dtype: str = "fp32"
    settings: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.source.encode("utf-8", errors="replace"))
        if not 0 < size <= MAXIMUM_SOURCE_BYTES:
            raise UsageError(f"source of {size} bytes: a candidate has 1 to {MAXIMUM_SOURCE_BYTES}")
        if self.language not in SUFFIXES:
            raise UsageError(f"language={self.language!r}: choose from {', '.join(SUFFIXES)}")
        if self.dtype not in ("fp32", "bf16"):
            raise UsageError(f"dtype={self.dtype!r}: choose fp32 or bf16")
        for value in (self.workload or "", *self.settings):
            if value.startswith("-") or len(value) > 200 or not value.isprintable():
                raise UsageError(f"workload and settings: {value[:50]!r} is none")

    def command(self, file: Path) -> list[str]:
        words = [sys.executable, "-m", "kernelsearch", "check", str(file), "--target", self.target, "--json"]
        words += ["--language", self.language, "--dtype", self.dtype, *self.flags]
        words += [] if self.workload is None else ["--workload", self.workload]
        return words + [word for setting in self.settings for word in ("--set", setting)]


@dataclass
class Job:
    """A judgement's state: waiting, running, done, failed or cancelled. `result` is what `check --json` printed."""

    id: str
    question: Question
    state: str = "waiting"
    progress: str = "waiting"
    gates: int = 0
    started: float | None = None
    seconds: float | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> dict[str, Any]:
        running = time.monotonic() - self.started if self.started is not None else None
        return {
            "job_id": self.id,
            "state": self.state,
            "target": self.question.target,
            "progress": self.progress,
            "seconds": self.seconds if self.seconds is not None else running,
            "result": self.result,
            "error": self.error,
        }


class Jobs:
    """The jobs of one server. `timeout_s` is for one judgement, its wait for its turn included."""

    def __init__(self, state: Path, timeout_s: float = 1800.0) -> None:
        self._state = state
        self._timeout_s = timeout_s
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._count = 0
        self._turn = asyncio.Lock()

    def start(self, question: Question) -> Job:
        """Queue a new job. Raises UsageError where too many wait already."""
        waiting = [job for job in self._jobs.values() if not job.ended.is_set()]
        if len(waiting) >= MAXIMUM_WAITING:
            raise UsageError(f"{len(waiting)} judgements are waiting: ask again when some are done")
        for job in [job for job in self._jobs.values() if job.ended.is_set()][: -MAXIMUM_KEPT + 1]:
            del self._jobs[job.id]
        self._count += 1
        job = Job(f"{self._count}-{os.urandom(4).hex()}", question)
        self._jobs[job.id] = job
        task = asyncio.create_task(self._run(job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))
        return job

    def find(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            raise UsageError(f"job_id={job_id!r}: this server has no such job (it keeps the last {MAXIMUM_KEPT})")
        return self._jobs[job_id]

    async def cancel(self, job_id: str) -> Job:
        job = self.find(job_id)
        if task := self._tasks.get(job_id):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            _end(job, "cancelled")  # a task that had not begun ends without running
        return job

    async def close(self) -> None:
        for job_id in list(self._tasks):
            await self.cancel(job_id)

    async def _run(self, job: Job) -> None:
        try:
            async with self._turn:
                job.state, job.progress, job.started = "running", "starting", time.monotonic()
                await self._judge(job)
        except asyncio.CancelledError:
            _end(job, "cancelled")
            raise
        except Exception as error:  # whatever it was, who waits for the job must hear of it
            job.error = f"{type(error).__name__}: {error}"
            _end(job, "failed")

    async def _judge(self, job: Job) -> None:
        with tempfile.TemporaryDirectory(prefix="kernelsearch-mcp-") as scratch:
            file = Path(scratch) / f"agent{SUFFIXES[job.question.language]}"
            file.write_text(job.question.source)
            process = await asyncio.create_subprocess_exec(
                *job.question.command(file),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, "KERNELSEARCH_HOME": str(self._state)},
                start_new_session=True,
            )
            assert process.stdout is not None and process.stderr is not None
            try:
                async with asyncio.timeout(self._timeout_s):
                    out, tail, _ = await asyncio.gather(
                        process.stdout.read(), _follow(process.stderr, job), process.wait()
                    )
            except TimeoutError:
                job.error = f"not done after {self._timeout_s:g} s"
                _end(job, "failed")
                return
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        if process.returncode in (0, 1) and out:
            job.result = json.loads(out)
            _end(job, "done")
        else:
            job.error = tail.strip() or f"ended with status {process.returncode}"
            _end(job, "failed")


async def _follow(stream: asyncio.StreamReader, job: Job) -> str:
    """Reads to the end, telling the job of each gate; returns the last of it."""
    tail = ""
    while chunk := await stream.read(4096):
        tail = (tail + chunk.decode(errors="replace"))[-TAIL_BYTES:]
        gates = [line for line in tail.splitlines() if line.startswith("gate ")]
        job.gates += chunk.count(b"gate ")
        job.progress = gates[-1].removeprefix("gate ") if gates else job.progress
    return tail


def _end(job: Job, state: str) -> None:
    if not job.ended.is_set():
        job.state, job.progress = state, state
        job.seconds = None if job.started is None else time.monotonic() - job.started
        job.ended.set()
