"""The device as a launcher sees it: its clock, its caches, its graphs. The CPU stands in for one in tests.

A window is a list of calls on buffers of their own, together larger than the cache, so that each finds its inputs cold.
Where the whole window can be captured in a CUDA graph it is replayed as one, so that what is timed is the device's work
and not Python's; otherwise it is launched call by call. Device events give the time; the host's clock must agree.
"""

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch

CUDA: Any = torch.cuda  # typed by some versions of torch only
CACHES = 2  # how many times the L2 cache the buffers of a window should fill together
MATRIX = 8192
COPY_BYTES = 1 << 30
HEAD_START_S, CYCLES_PER_S = 1e-4, 2e9  # no GPU here has a faster clock, so it idles longer, if anything


class Device(Protocol):
    """`place` is what torch calls it; `cache_bytes` its last cache."""

    place: str
    cache_bytes: int

    def describe(self) -> dict[str, Any]: ...
    def synchronize(self) -> None: ...
    def cool(self) -> None: ...
    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None: ...
    def time(self, work: Callable[[], None]) -> tuple[float, float]: ...


class CudaDevice:
    """The first GPU that this process sees."""

    place = "cuda"

    def __init__(self) -> None:
        CUDA.init()
        torch.backends.cuda.matmul.allow_tf32 = False
        properties = CUDA.get_device_properties(0)
        self.cache_bytes = int(getattr(properties, "L2_cache_size", 64 << 20))
        self._flush = torch.empty(CACHES * self.cache_bytes, dtype=torch.uint8, device="cuda")
        self._runtime = _runtime()
        self._head_start_s = HEAD_START_S

    def describe(self) -> dict[str, Any]:
        properties = CUDA.get_device_properties(0)
        return {
            "name": properties.name,
            "capability": properties.major * 10 + properties.minor,
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "cache_bytes": self.cache_bytes,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        }

    def synchronize(self) -> None:
        CUDA.synchronize()

    def cool(self) -> None:
        """Fills the L2 cache with nothing of use, and takes back what a kernel may have set aside in it."""
        if self._runtime is not None:
            self._runtime.cudaCtxResetPersistingL2Cache()
            self._runtime.cudaGetLastError()  # where it is not supported, torch would take the error for its own
        self._flush.zero_()

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """`work` as a graph that replays it, or None where it cannot be captured."""
        stream = CUDA.current_stream()
        try:
            side = CUDA.Stream()
            side.wait_stream(CUDA.current_stream())
            with CUDA.stream(side):
                work()
            CUDA.current_stream().wait_stream(side)
            CUDA.synchronize()
            graph = CUDA.CUDAGraph()
            with CUDA.graph(graph):
                work()
            CUDA.synchronize()
            self._allow_for(graph.replay)
        except Exception:
            CUDA.set_stream(stream)  # torch.cuda.graph leaves its own behind where ending the capture fails
            with suppress(Exception):
                CUDA.synchronize()
            return None
        replay: Callable[[], None] = graph.replay
        return replay

    def _allow_for(self, replay: Callable[[], None]) -> None:
        """A head start for graphs of hundreds of launches, which take the host longer than the usual one."""
        for _ in range(2):  # the first launch also brings the graph to the device
            started = time.perf_counter()
            replay()
            queued_s = time.perf_counter() - started
            CUDA.synchronize()
        self._head_start_s = max(self._head_start_s, 2 * queued_s)

    def time(self, work: Callable[[], None]) -> tuple[float, float]:
        """Seconds by the device's events and by the host's clock.

        The device idles through a head start, in which the host queues what comes: what it takes to launch a graph is
        then not between the events.
        """
        begin, end = (CUDA.Event(enable_timing=True) for _ in range(2))
        CUDA.synchronize()
        started = time.perf_counter()
        CUDA._sleep(int(self._head_start_s * CYCLES_PER_S))
        begin.record()
        work()
        end.record()
        CUDA.synchronize()
        return begin.elapsed_time(end) / 1e3, time.perf_counter() - started


class CpuDevice:
    """Stands in for a GPU where the machinery is tested: same commands, the host's clock, no graphs."""

    place = "cpu"
    cache_bytes = 1 << 16

    def describe(self) -> dict[str, Any]:
        described = {"name": "CPU in place of a GPU", "capability": None, "cache_bytes": self.cache_bytes}
        return described | {"torch": torch.__version__, "cuda": None}

    def synchronize(self) -> None: ...

    def cool(self) -> None: ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None] | None:
        return None

    def time(self, work: Callable[[], None]) -> tuple[float, float]:
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        return seconds, seconds


def open_device(place: str) -> Device:
    return CudaDevice() if place == "cuda" else CpuDevice()


def measure_peaks(device: Device) -> dict[str, float]:
    """What the library reaches here: operations per second of products in each dtype, bytes per second of a copy."""
    size, count = (MATRIX, COPY_BYTES) if device.place == "cuda" else (128, 1 << 20)
    found = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = (torch.randn(size, size, device=device.place).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        found[f"{name}_flops"] = 2 * size**3 / _best(device, lambda a=a, b=b, out=out: torch.mm(a, b, out=out))  # type: ignore[misc]
    source = torch.ones(count, dtype=torch.uint8, device=device.place)
    sink = torch.empty_like(source)
    found["bytes_per_s"] = 2 * count / _best(device, lambda: sink.copy_(source))
    return found


def _best(device: Device, work: Callable[[], Any]) -> float:
    device.time(work)
    return max(1e-9, min(device.time(work)[0] for _ in range(10)))


def _runtime() -> ctypes.CDLL | None:
    """The CUDA runtime that torch has loaded, for what torch does not offer; None where it is not found."""
    for name in (f"libcudart.so.{(torch.version.cuda or '12').split('.')[0]}", "libcudart.so"):
        with suppress(OSError):
            return ctypes.CDLL(name)
    return None
