"""Runs somebody else's training script with kernels in it: `python -m kernelsearch.dispatch.upstream.launch JSON`.

    {"repo": FOLDER, "command": ["-m", MODULE, ARGUMENT, ...] or [FILE, ARGUMENT, ...], "report": FILE,
     "enabled": true, "tune_allocator": false, "library": FOLDER, "state_dir": FOLDER, "digests": [...],
     "identity": false, "shadow": RATE or null, "trusted": {SYMBOL: DIGEST}, "device": "cpu" or "cuda"}

The script finds `repo` first on sys.path and as its working folder, as if it had been started there; its exit status is
this process's. Nothing heavy is imported before the script imports it: upstream sets variables that torch reads.
"""

import contextlib
import functools
import json
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from kernelsearch.dispatch.upstream.hook import PostImport
from kernelsearch.dispatch.upstream.names import PACKAGE, WATCHED


def main(arguments: list[str] | None = None) -> None:
    order: dict[str, Any] = json.loads((arguments or sys.argv[1:])[0])
    repo = Path(order["repo"])
    os.chdir(repo)
    sys.path[0] = str(repo)
    report = install_later(order) if order["enabled"] else dict
    try:
        run_script(order["command"])
    finally:
        with contextlib.suppress(OSError):
            Path(order["report"]).write_text(json.dumps(report()))


def install_later(order: Mapping[str, Any]) -> Callable[[], Mapping[str, Any]]:
    """Patch each of upstream's modules as it is imported; returns what tells what happened."""

    @functools.cache
    def patches() -> Any:
        from kernelsearch.dispatch.bind import select
        from kernelsearch.dispatch.shadow import Shadow
        from kernelsearch.dispatch.upstream.apply import Choice, make_patches

        if order["tune_allocator"]:
            from kernelsearch.timing.allocator import keep_freed_memory

            keep_freed_memory()
        state = Path(order["state_dir"])
        shadow = None if order["shadow"] is None else Shadow(order["shadow"], state / "breaches")
        is_eligible = select(is_promoted_only=False, digests=order["digests"])
        choice = Choice(Path(order["library"]), state, is_eligible, shadow=shadow, device=order["device"])
        return make_patches(choice, PACKAGE, is_identity=order["identity"], trusted=order["trusted"])

    def install(module: ModuleType) -> None:
        patches().install_module(module)

    sys.meta_path.insert(0, PostImport([f"{PACKAGE}.{name}" for name in WATCHED], install))
    return lambda: patches().report()


def run_script(command: list[str]) -> None:
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(command)
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    main()
