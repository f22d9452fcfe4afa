"""What the device could do at best, as measured on it, and what that leaves a candidate whose grids are small.

A block runs on one multiprocessor, so a grid of fewer blocks than the device has multiprocessors leaves some idle. That
bounds a binding before it runs: arithmetic by the share that is busy; bytes by less, because one multiprocessor alone
can read more than its share of the memory's bandwidth.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelsearch.sandbox.gpu.session import GpuSession
from kernelsearch.spec.target import Entry, Sizes, Target, TensorSpec, Work
from kernelsearch.spec.workload import Workload

IMPOSSIBLE_FACTOR = 2.0  # what is measured as a peak may be exceeded: clocks rise where little is busy
# 64 bytes a clock into one multiprocessor are 2 to 6 shares of the memory's bandwidth, sm_80 to sm_100.
READS_BEYOND_SHARE = 8.0
LIBRARY_PRODUCTS = frozenset({"mm", "matmul", "bmm", "addmm", "baddbmm"})


@dataclass(frozen=True)
class GpuPeaks:
    """Operations per second in the dtype of the products, bytes per second of device memory."""

    flops: float
    bytes_per_s: float

    def speed_of_light_us(self, work: Work) -> float:
        return 1e6 * max(work.flops / self.flops, work.bytes / self.bytes_per_s)

    def with_share(self, share: float) -> "GpuPeaks":
        """Of a device of which only this share of multiprocessors is busy."""
        return GpuPeaks(self.flops * share, self.bytes_per_s * min(1.0, READS_BEYOND_SHARE * share))


def least_us(peaks: GpuPeaks, entry: Entry, workload: Workload, cache_bytes: int) -> float:
    """The time below which a call was mismeasured, or did not do its work.

    Of an entry that looks rows up it is not known how many there are, and what is written may still lie in the cache
    when the clock stops: neither counts, though both are in the speed of light (`Entry.work`).
    """
    sizes, scalar = workload.sizes, workload.dtype
    read = [t for t in entry.inputs if not _is_looked_up(t, entry)]
    written = [*entry.outputs, *(t for t in entry.inputs if t.name in entry.updates)]
    if entry.has_backward:
        read += entry.output_gradients()
        written += entry.input_gradients()
    beyond_cache = max(0, _bytes_of(written, sizes, scalar) - cache_bytes)
    flops = entry.work(sizes, workload.parameters, scalar, backward=entry.has_backward).flops
    work = Work(flops, float(_bytes_of(read, sizes, scalar) + beyond_cache))
    return peaks.speed_of_light_us(work) / IMPOSSIBLE_FACTOR


def _is_looked_up(tensor: TensorSpec, entry: Entry) -> bool:
    """Whether it may be read at places that an integer input names: it shares no axis with one."""
    places = [t for t in entry.inputs if t.dtype == "int64"]
    return bool(places) and not any(set(tensor.axes) & set(t.axes) for t in places)


def _bytes_of(tensors: Sequence[TensorSpec], sizes: Sizes, scalar: str) -> int:
    return sum(t.bytes(sizes, scalar) for t in tensors)


def measured_peaks(session: GpuSession) -> GpuPeaks:
    found, _ = session.ask("peaks")
    return GpuPeaks(max(found["bfloat16_flops"], found["float32_flops"]), found["bytes_per_s"])


def best_speedup(
    target: Target,
    workloads: Sequence[Workload],
    baselines_us: Mapping[str, float],
    peaks: GpuPeaks,
    share: float,
    cache_bytes: int,
) -> float:
    """The speedup over these baselines that nothing can exceed which keeps only this share of the device busy."""
    needed_us = taken_us = 0.0
    for w in workloads:
        needed_us += w.calls * least_us(peaks.with_share(share), target.entry(w.entry), w, cache_bytes)
        taken_us += w.calls * baselines_us[w.name]
    return taken_us / needed_us if needed_us > 0 else float("inf")


def calls_library(source: str) -> bool:
    """Whether a candidate has products made by the library, whose grids are the library's."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return bool(names & LIBRARY_PRODUCTS) or any(isinstance(node, ast.MatMult) for node in nodes)
