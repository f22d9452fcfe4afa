"""Runs kernels of a CUDA text in the emulation, each launch in a process of its own: a failure ends its process.

python emulation.py < request.json > answer.json
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).parents[2] / "kernelsearch" / "sandbox" / "emulated_runner.py"
KINDS = {"float32": ctypes.c_float, "int32": ctypes.c_int32, "uint32": ctypes.c_uint32, "int64": ctypes.c_int64,
         "uint16": ctypes.c_uint16}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a launch left in its arrays, or what it said when it failed."""

    arrays: list[list[float]]
    text: str


@dataclass(frozen=True)
class Emulated:
    """One compiled text: `run` launches a kernel on arrays, given as a dtype and their values."""

    runtime: Path
    artifact: Path
    symbols: dict[str, str]

    def run(self, kernel: str, *arguments: Any, grid: int = 1, block: int = 32, shared_bytes: int = 0) -> Outcome:
        request = {"runtime": str(self.runtime), "object": str(self.artifact), "symbol": self.symbols[kernel],
                   "grid": grid, "block": block, "shared_bytes": shared_bytes, "arguments": arguments}  # fmt: skip
        done = subprocess.run(
            [sys.executable, __file__], input=json.dumps(request), capture_output=True, text=True, timeout=60
        )
        return Outcome(json.loads(done.stdout) if done.returncode == 0 else [], done.stderr)


def main() -> None:
    request = json.load(sys.stdin)
    spec = importlib.util.spec_from_file_location("emulated_runner", RUNNER)
    assert spec is not None and spec.loader is not None
    runner = importlib.util.module_from_spec(spec)  # alone, without the package that it lies in: that takes longer
    spec.loader.exec_module(runner)
    ctypes.CDLL(request["runtime"], ctypes.RTLD_GLOBAL)
    function = ctypes.CDLL(request["object"])[request["symbol"]]
    words = (ctypes.c_uint64 * 16)()
    arrays = []
    for place, argument in enumerate(request["arguments"]):
        if isinstance(argument, list):
            dtype, values = argument
            arrays.append((KINDS[dtype] * len(values))(*values))
            words[place] = ctypes.addressof(arrays[-1])
        elif isinstance(argument, float):
            ctypes.c_float.from_address(ctypes.addressof(words) + 8 * place).value = argument
        else:
            words[place] = argument
    shape = runner.Index(request["grid"], 1, 1), runner.Index(request["block"], 1, 1)
    launch = runner.Launch(*shape, request["shared_bytes"], ctypes.addressof(words), None, 0)
    function.restype = None
    function(ctypes.byref(launch))
    json.dump([list(array) for array in arrays], sys.stdout)


if __name__ == "__main__":
    main()
