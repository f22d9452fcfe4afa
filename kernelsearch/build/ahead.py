"""What a worker says of kernels compiled ahead of time: asked in the jail, once for each question.

Triton's compiler and NVRTC read a candidate's text, start programs and write files, as a C++ compiler does; they see no
more of this machine than that one does, besides this Python and its packages.
"""

import json
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.digest import digest, digest_bytes
from kernelsearch.errors import BuildError, Infrastructure

MAIN = Path(__file__).with_name("ahead_main.py")
TIMEOUT_S = 300
MEMORY_BYTES = 64 << 30  # of addresses: a PyTorch for GPUs maps many more than it uses


def ask_ahead(worker: Path, request: dict[str, Any], version: str, cache_dir: Path) -> dict[str, Any]:
    """The worker's answer to `request`, from the cache or asked now; `version` is that of its compiler.

    Raises BuildError where it takes too long, EnvironmentMissing where this machine cannot confine it.
    """
    key = digest([request, version, digest_bytes(worker.read_bytes()), digest_bytes(MAIN.read_bytes())])
    path = cache_dir / worker.stem / key[:2] / f"{key}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    found = _ask(worker, request, cache_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(found))
    scratch.replace(path)
    return found


def _ask(worker: Path, request: dict[str, Any], cache_dir: Path) -> dict[str, Any]:
    files = {file.name: file.read_bytes() for file in (MAIN, worker)} | {"request.json": json.dumps(request).encode()}
    sites = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *packages_of("torch", "triton", "cuda")]
    try:
        answer = compile_jailed(
            jail_command(cache_dir),
            files,
            [(sys.executable, "-I", "-B", MAIN.name, worker.name)],
            "answer.json",
            readable=outermost(["/dev/urandom", sys.base_prefix, sys.base_exec_prefix, *sites]),
            timeout_s=TIMEOUT_S,
            memory_bytes=MEMORY_BYTES,
        )
    except BuildError as error:
        if "did not finish" in str(error):
            raise
        raise Infrastructure(f"{worker.name} did not answer: {error}") from None
    found: dict[str, Any] = json.loads(answer)
    return found


def packages_of(*names: str) -> list[str]:
    """The folders on this process's path that hold these packages."""
    return [folder for folder in sys.path if folder and any((Path(folder) / name).is_dir() for name in names)]


def outermost(paths: Iterable[str]) -> list[str]:
    """The paths that lie in none of the others."""
    unique = sorted({str(Path(path)) for path in paths})
    return [p for p in unique if not any(p != other and Path(p).is_relative_to(other) for other in unique)]
