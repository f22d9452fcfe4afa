"""What this machine can do at best, measured once: arithmetic by the library's own matrix product, bytes by copying.

The roofline model (Williams, Waterman, Patterson 2009) bounds a kernel by the slower of the two. Small data lives in
caches, so bandwidth is measured for several footprints and the one at or below a workload's own is used.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kernelsearch.digest import digest
from kernelsearch.spec.target import Work

FOOTPRINTS = tuple(2**k for k in (18, 20, 22, 24, 26, 28))
MATRIX = 1024
REPEATS = 30
IMPOSSIBLE_FACTOR = 4.0


@dataclass(frozen=True)
class Peaks:
    """Dense float32 operations per second, and bytes per second by footprint in bytes."""

    flops: float
    bandwidth: dict[int, float]

    def is_impossible(self, latency_us: float, work: Work) -> bool:
        """Whether no program of this machine could have done this work in this time, with a wide margin.

        Caches serve reads faster than copies, and a busy moment lowers what was measured: hence the best bandwidth of
        any footprint, and a factor of four.
        """
        least_us = 1e6 * max(work.flops / self.flops, work.bytes / max(self.bandwidth.values()))
        return latency_us < least_us / IMPOSSIBLE_FACTOR

    def speed_of_light_us(self, work: Work) -> float:
        """Least time the device could need for this work; a kernel well below it was mismeasured."""
        fitting = [b for size, b in self.bandwidth.items() if size <= work.bytes] or [max(self.bandwidth.values())]
        return 1e6 * max(work.flops / self.flops, work.bytes / fitting[-1])


def measured_peaks(cache_dir: Path, device_identity: str, *, again: bool = False) -> Peaks:
    """The peaks of this device and thread count, from the cache or measured now (about a second).

    Measured `again`, the better of old and new is kept: load on the machine can only lower a peak.
    """
    path = cache_dir / "peaks" / f"{digest([device_identity, torch.get_num_threads(), torch.__version__])}.json"
    known = _read(path)
    if known is not None and not again:
        return known
    peaks = Peaks(_matrix_flops(), {size: _copy_bandwidth(size) for size in FOOTPRINTS})
    if known is not None:
        best = {size: max(value, known.bandwidth.get(size, 0.0)) for size, value in peaks.bandwidth.items()}
        peaks = Peaks(max(peaks.flops, known.flops), best)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps({"flops": peaks.flops, "bandwidth": peaks.bandwidth}))
    os.replace(scratch, path)
    return peaks


def _read(path: Path) -> Peaks | None:
    try:
        found = json.loads(path.read_text())
        return Peaks(found["flops"], {int(size): value for size, value in found["bandwidth"].items()})
    except (OSError, ValueError, KeyError):
        return None


def _matrix_flops() -> float:
    a, b, c = (torch.ones(MATRIX, MATRIX) for _ in range(3))
    return 2 * MATRIX**3 / _least_seconds(lambda: torch.mm(a, b, out=c))


def _copy_bandwidth(footprint: int) -> float:
    """Bytes read and written per second by a warm copy whose two buffers together have this footprint."""
    source, sink = torch.ones(footprint // 8), torch.empty(footprint // 8)
    return footprint / _least_seconds(lambda: sink.copy_(source))


def _least_seconds(call: Callable[[], object]) -> float:
    call()
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best
