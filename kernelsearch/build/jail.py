"""Compiling untrusted source: our jail program around the compiler, files in, one file out.

The compiler reads what the source names, and a source may name anything. So it runs where there is nothing to find:
no network, no other process, no file but the system's libraries and headers, and a scratch folder in memory.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernelsearch.build.program import NATIVE, native_program
from kernelsearch.errors import BuildError, EnvironmentMissing, Infrastructure

TIMEOUT_S = 60
END_TIMEOUT_S = 5.0
MEMORY_BYTES = 4 << 30
MAXIMUM_MESSAGE = 4000
PROGRAM_FAILED, UNPROTECTED = 1, 98  # as in jail.cpp


def jail_command(cache_dir: Path) -> list[str]:
    return [str(native_program(NATIVE / "jail.cpp", cache_dir))]


def compile_jailed(
    jail: list[str],
    files: Mapping[str, bytes],
    programs: Sequence[Sequence[str]],
    output: str,
    *,
    readable: Sequence[str] = (),
    timeout_s: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> bytes:
    """The bytes of the file `output` after running `programs`, one after the other, in a folder that holds `files`.

    They may read the system's libraries and headers, the folder of the first program, and what is `readable`. Raises
    BuildError with what the programs printed, EnvironmentMissing where this machine cannot confine them.
    """
    stdin = b"".join(b"%s %d\n%s" % (name.encode(), len(data), data) for name, data in files.items())
    arguments = [argument for program in programs for argument in (*program, "--")][:-1]
    seconds = TIMEOUT_S if timeout_s is None else timeout_s
    process = subprocess.Popen(
        [*jail, str(os.getpid()), str(seconds), str(memory_bytes), "\n".join(readable), output, *arguments],
        cwd="/",
        env={"LC_ALL": "C"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        made, text = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise BuildError(f"the compiler did not finish within {seconds} s") from None
    finally:
        _end(process)
    if process.returncode != 0:
        raise _failure(process.returncode, text.decode(errors="replace").strip())
    return made


def _failure(status: int, text: str) -> Exception:
    if status == UNPROTECTED:
        return EnvironmentMissing(
            f"untrusted sources are not compiled here: {text}. Needed is Linux 5.13 or newer with Landlock and seccomp"
        )
    if status == PROGRAM_FAILED:
        return BuildError(text[:MAXIMUM_MESSAGE] or "the compiler failed without a word")
    return Infrastructure(f"the compiler's jail ended with status {status}: {text[:MAXIMUM_MESSAGE]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever still runs: the jail kills all that is in it and removes its scratch folder."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
