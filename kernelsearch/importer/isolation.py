"""Starts the import in a process of its own, under limits: a problem that hangs or dies is one clear error."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.importer.function import OwnFunction

MEMORY_BYTES = 16 << 30
LOG_BYTES = 4096


def import_kernelbench(
    file: Path, out: Path | None, settings: Mapping[str, int], timeout_s: float
) -> tuple[dict[str, Any], Path]:
    """What the import found, and where the target is if it was imported; nothing is left behind otherwise.

    `out` defaults to the problem's name, in the working directory.
    """
    if not file.is_file():
        raise UsageError(f"file={str(file)!r}: there is no such file")
    name = name_target(file.stem)
    return _import(file, name, (out or Path(name)).absolute(), settings, timeout_s)


def import_function(found: OwnFunction, out: Path, timeout_s: float) -> tuple[dict[str, Any], Path]:
    """The same for a declared function."""
    with tempfile.TemporaryDirectory() as scratch:
        problem = Path(scratch) / found.file.name
        problem.write_text(found.problem_source)
        return _import(problem, found.name, out.absolute(), {}, timeout_s)


def _import(
    file: Path, name: str, folder: Path, settings: Mapping[str, int], timeout_s: float
) -> tuple[dict[str, Any], Path]:
    if folder.exists():
        raise UsageError(f"out={str(folder)!r}: exists already; name another folder with --out, or remove it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=folder.parent))
    except OSError as error:
        raise UsageError(
            f"out={str(folder)!r}: cannot be made ({error.strerror}); name one that you can write"
        ) from None
    try:
        target = scratch / "target"
        target.mkdir()
        found = _survey(file.absolute(), target, scratch / "answer.json", name, settings, timeout_s)
        if "imported" in found:
            shutil.rmtree(target / "__pycache__", ignore_errors=True)
            (target / "import.json").write_text(json.dumps(found["imported"], indent=2) + "\n")
            os.rename(target, folder)
        return found, folder
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def name_target(stem: str) -> str:
    """A C identifier from a file's name, without the number that KernelBench puts in front."""
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).lower().lstrip("0123456789_").rstrip("_")
    return name or "problem"


def _survey(
    file: Path, target: Path, answer: Path, name: str, settings: Mapping[str, int], timeout_s: float
) -> dict[str, Any]:
    command = [sys.executable, "-m", "kernelsearch.importer.survey"]
    command += [str(file), str(target), str(answer), name, json.dumps(dict(settings))]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=_limit
        )
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"file={str(file)!r}: was not imported within {timeout_s:.0f} s and was stopped; does it hang? "
                "A large one may need --timeout, or smaller sizes with --set"
            ) from None
        finally:
            _end(process)
        if not answer.is_file():
            log.seek(max(0, log.tell() - LOG_BYTES))
            last = " ".join(log.read().decode(errors="replace").split())[-300:]
            raise UsageError(
                f"file={str(file)!r}: its process ended with status {process.returncode} and without an answer: {last}"
            )
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and whatever it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
