"""Answers one request to compile ahead, in the jail: python -I -B ahead_main.py WORKER, request.json -> answer.json.

A child does the work, because a compiler may die of what it is given: that is an answer too. Standard library only.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

TAIL_BYTES = 2000


def load(file: str) -> Any:
    spec = importlib.util.spec_from_file_location("worker", Path(file).resolve())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work(worker: Any, request: dict[str, Any]) -> None:
    try:
        found = worker.answer(request)
    except Exception as error:
        found = {"kernels": [], "error": f"{type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(found))


def main() -> int:
    worker, request = load(sys.argv[1]), json.loads(Path("request.json").read_text())
    said = os.open("said", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    child = os.fork()
    if child == 0:
        os.dup2(said, 1)
        os.dup2(said, 2)
        work(worker, request)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    tail = Path("said").read_text(errors="replace").strip()[-TAIL_BYTES:]
    if os.WIFSIGNALED(status):
        error = f"the compiler died by signal {os.WTERMSIG(status)}: {tail}"
        Path("answer.json").write_text(json.dumps({"kernels": [], "error": error}))
    elif status != 0:
        sys.stderr.write(tail)
    return 0 if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
