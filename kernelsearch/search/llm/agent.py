"""A coding agent as one more client: a subprocess in a folder with the brief, from which one file is read back.

What confines it is agent.cpp. Its environment is made anew: PATH, the locale, HOME and TMPDIR in its folder, and what
the user names. Time and output are bounded, and when it ends, everything it started has ended.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kernelsearch.build.program import native_program
from kernelsearch.errors import UsageError
from kernelsearch.search.llm.message import Answer, CallFailed, Prompt, Usage
from kernelsearch.spec.candidate import MAXIMUM_SOURCE_BYTES

PROGRAM = Path(__file__).parent / "agent.cpp"
INSTRUCTION = "Read brief.md in the current folder and do what it asks."
FILE_BYTES = 64 << 20
LOG_BYTES = 64 * 1024
END_S = 5.0
UNPROTECTED, NOT_STARTED = 98, 127
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TERM", "TZ")


@dataclass(frozen=True)
class Confinement:
    """What an agent may have besides its folder: paths it may read, and variables of the user's environment."""

    cache_dir: Path
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class AgentClient:
    """Runs `command`, in which {prompt} stands for a sentence that points to brief.md, and reads the file `output`."""

    command: str
    output: str
    confinement: Confinement
    answer_tokens: int = 0

    @property
    def provider(self) -> str:
        return "command"

    @property
    def model(self) -> str:
        return Path(shlex.split(self.command)[0]).name

    def settings(self) -> Mapping[str, Any]:
        return {"command": self.command, "output": self.output}

    def send(self, prompt: Prompt, timeout_s: float) -> Answer:
        with tempfile.TemporaryDirectory(prefix="kernelsearch-agent-") as name:
            folder = Path(name).resolve()
            for file, text in {**prompt.files, "brief.md": f"{prompt.stable}\n\n{prompt.turn}\n"}.items():
                (folder / file).write_text(text)
            (folder / "tmp").mkdir()
            status, log = self._run(folder, timeout_s)
            written = _read(folder / self.output)
        if written is None:
            if status in (UNPROTECTED, NOT_STARTED):
                raise CallFailed(f"the agent did not start: {log.strip()[-300:]}", is_permanent=True)
            if status is None:
                raise CallFailed(f"it wrote no {self.output} within {timeout_s:.0f} s", is_permanent=False)
            if status != 0:
                last = log.strip()[-300:]
                raise CallFailed(
                    f"it ended with status {status} and wrote no {self.output}: {last}", is_permanent=False
                )
        usage, cost = _told(log)
        return Answer(written or "", usage, cost=cost)

    def arguments(self) -> list[str]:
        """The command's words with the sentence in place. Raises UsageError where they make none."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise UsageError(f"agent-command={self.command!r}: {error}") from None
        if not words or shutil.which(words[0]) is None:
            raise UsageError(f"agent-command={self.command!r}: there is no such program on PATH")
        return [word.replace("{prompt}", INSTRUCTION) for word in words]

    def _run(self, folder: Path, timeout_s: float) -> tuple[int | None, str]:
        """The status (None when its time was over) and the end of what it printed."""
        words = self.arguments()
        program = Path(shutil.which(words[0]) or words[0]).absolute()
        readable = dict.fromkeys(map(str, (program, program.resolve(), *self.confinement.readable)))
        supervisor = native_program(PROGRAM, self.confinement.cache_dir)
        process = subprocess.Popen(
            [supervisor, str(os.getpid()), str(FILE_BYTES), str(folder), *readable, "--", str(program), *words[1:]],
            cwd=folder,
            env=self._environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        tail = _Tail(process.stdout)
        status: int | None = None
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
            log = tail.end()
        return status, log

    def _environment(self, folder: Path) -> dict[str, str]:
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {**kept, "HOME": str(folder), "TMPDIR": str(folder / "tmp"), **self.confinement.environment}


class _Tail:
    """The last LOG_BYTES of a stream, read as they come so that who writes never waits."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._data = stream, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while chunk := os.read(self._stream.fileno(), 65536):
            self._data = (self._data + chunk)[-LOG_BYTES:]

    def end(self) -> str:
        self._thread.join(END_S)
        self._stream.close()
        return self._data.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tells the supervisor to end all; it is killed only where it does not answer."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _read(path: Path) -> str | None:
    """The text of a plain file, not of a link; one byte more than a source may have at most."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(MAXIMUM_SOURCE_BYTES + 1).decode(errors="replace")


def _told(log: str) -> tuple[Usage | None, float | None]:
    """Tokens and cost, where the agent ends with JSON that tells them, as `claude -p --output-format json` does."""
    lines: Sequence[str] = [line for line in log.splitlines() if line.startswith("{")]
    try:
        told = json.loads(lines[-1]) if lines else None
        cost = float(told["total_cost_usd"]) if isinstance(told, dict) else None
        used = told.get("usage", {}) if isinstance(told, dict) else {}
        counts = [
            int(used.get(f"{kind}_tokens", 0))
            for kind in ("input", "cache_read_input", "cache_creation_input", "output")
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None
    return (Usage(*counts) if any(counts) else None), cost
