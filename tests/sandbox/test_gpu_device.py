"""The CUDA half of the GPU judge's device, with torch.cuda replaced by something that only remembers."""

import time
from contextlib import contextmanager, nullcontext

import pytest

from kernelsearch.sandbox.gpu import device as module
from kernelsearch.sandbox.gpu.device import HEAD_START_S, CudaDevice


class Cuda:
    """torch.cuda as CudaDevice uses it: streams are numbers, a capture fails if told so, a replay takes a while."""

    def __init__(self) -> None:
        self.current, self.fails, self.replay_s, self.slept = 0, False, 0.0, 0

    def Stream(self):
        return self

    def wait_stream(self, other):
        pass

    def current_stream(self):
        return StreamNumber(self.current)

    def set_stream(self, stream):
        self.current = stream.number

    def stream(self, side):
        return nullcontext()

    def synchronize(self):
        pass

    def CUDAGraph(self):
        return self

    def replay(self):
        time.sleep(self.replay_s)

    @contextmanager
    def graph(self, graph):
        self.current = 7
        yield
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.current = 0

    def Event(self, enable_timing):
        return self

    def record(self):
        pass

    def elapsed_time(self, end):
        return 1.0

    def _sleep(self, cycles):
        self.slept = cycles


class StreamNumber:
    def __init__(self, number: int) -> None:
        self.number = number

    def wait_stream(self, other):
        pass


@pytest.fixture
def cuda(monkeypatch):
    made = Cuda()
    monkeypatch.setattr(module, "CUDA", made)
    return made


@pytest.fixture
def device():
    made = CudaDevice.__new__(CudaDevice)
    made._head_start_s = HEAD_START_S
    return made


def test_a_capture_that_fails_leaves_the_stream_as_it_was(cuda, device):
    cuda.fails = True
    assert device.capture(lambda: None) is None
    assert cuda.current == 0


def test_a_graph_that_is_slow_to_launch_gets_a_longer_head_start(cuda, device):
    assert device.capture(lambda: None) is not None
    device.time(lambda: None)
    usual = cuda.slept
    cuda.replay_s = 0.01
    device.capture(lambda: None)
    device.time(lambda: None)
    assert cuda.slept > 0.019 * module.CYCLES_PER_S > usual


def test_the_devices_clock_is_the_events_one(cuda, device):
    seconds, host_s = device.time(lambda: time.sleep(0.002))
    assert seconds == 1e-3 and host_s > 2e-3
