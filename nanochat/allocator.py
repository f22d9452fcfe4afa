"""Keep freed memory in the process.

By default glibc maps every block of 32 MB or more afresh and returns it on free, so each large tensor that an operator
makes is paid for again in page faults. Training allocates the same sizes at every step; with mapping and trimming off,
they come back warm. Everyone who is timed must run under the same setting, or the one that writes into old buffers wins
by default. `python -m nanochat.allocator` prints the effect on a training step.
"""

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
NEVER = -1
TOP_PAD_BYTES = 256 * 2**20


def tune_allocator() -> bool:
    """Make glibc reuse large blocks; call before the first tensor. False, and nothing done, on another C library."""
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, TOP_PAD_BYTES))
    return all(library.mallopt(name, value) == 1 for name, value in settings)


STEP_SECONDS = """
import sys, torch
from pathlib import Path
from nanochat.allocator import tune_allocator
from nanochat.config import named_config
from nanochat.ops import Ops
from nanochat.trainer import Trainer
if sys.argv[1] == "tuned":
    tune_allocator()
trainer = Trainer(named_config(sys.argv[2]), Ops.eager(), torch.device("cpu"), torch.float32, 1, Path(sys.argv[3]))
print(min(trainer.step().seconds for _ in range(15)))
"""


def measure(config_name: str, cache_dir: Path) -> dict[str, float]:
    """Seconds of the fastest of 15 training steps in a fresh process, with and without tuning."""
    return {
        setting: float(
            subprocess.run(
                [sys.executable, "-c", STEP_SECONDS, setting, config_name, str(cache_dir)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for setting in ("default", "tuned")
    }


if __name__ == "__main__":
    seconds = measure(sys.argv[1] if len(sys.argv) > 1 else "tiny", Path(tempfile.gettempdir()) / "nanochat-cache")
    print(f"{seconds} speedup={seconds['default'] / seconds['tuned']:.3f}")
