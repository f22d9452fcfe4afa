"""Our own native programs (the runner, the jail): compiled once for each text and compiler, and kept in the cache."""

import errno
import os
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from kernelsearch.build.compiler import compiler, compiler_identity
from kernelsearch.digest import digest, digest_files
from kernelsearch.errors import EnvironmentMissing, Infrastructure

NATIVE = Path(__file__).parent / "native"
FLAGS = ("-std=c++20", "-O2", "-I", str(NATIVE))
STALE_S = 600.0


@cache
def native_program(source: Path, cache_dir: Path, libraries: tuple[str, ...] = ()) -> Path:
    """The executable of `source`, which may include what build/native holds.

    Raises EnvironmentMissing with the compiler's text where it does not compile.
    """
    key = digest([source.read_text(), digest_files(NATIVE, "*.h"), list(libraries), compiler_identity()])
    path = cache_dir / "native" / f"{source.stem}-{key}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with tempfile.TemporaryDirectory(prefix="making-", dir=path.parent) as scratch:
            _compile(source, libraries, Path(scratch) / "program")
            os.replace(Path(scratch) / "program", path)
    return path


def _compile(source: Path, libraries: tuple[str, ...], made: Path) -> None:
    command = [compiler(), *FLAGS, str(source), *libraries, "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.defpath, "TMPDIR": str(made.parent)})
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise Infrastructure(
            f"the disk that holds {made.parent.parent} is full: free some space, or move KERNELSEARCH_HOME"
        )
    if done.returncode != 0:
        raise EnvironmentMissing(f"{source.name} does not compile here: {done.stderr.strip()[:600]}")


def _sweep(folder: Path) -> None:
    """Removes what a killed compilation left behind."""
    for scratch in folder.glob("making-*"):
        if time.time() - scratch.stat().st_mtime > STALE_S:
            shutil.rmtree(scratch, ignore_errors=True)
