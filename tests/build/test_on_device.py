"""CUDA C on a device, as far as stand-ins for CuPy and the device show it."""

import sys
import types
from pathlib import Path

import pytest
import torch

from kernelsearch.build.on_device import make_launch
from kernelsearch.errors import BuildError

CODE = 'extern "C" __global__ void f(float* x, int64_t n) {}'


class Nvrtc:
    """Remembers what it is asked to compile."""

    NVRTCError = RuntimeError

    def __init__(self) -> None:
        self.options: list[str] = []
        self.code = ""

    def createProgram(self, code, name, headers, names):
        self.code = code
        return 1

    def compileProgram(self, program, options):
        self.options = options
        if "#error" in self.code:
            raise RuntimeError

    def getCUBIN(self, program):
        return b"machine code"

    def getProgramLog(self, program):
        return "line 3: stop"

    def destroyProgram(self, program):
        pass


@pytest.fixture
def nvrtc(monkeypatch):
    """An H100 and a CuPy that are not there; `launched` holds what was launched, with the cubin it came from."""
    nvrtc = Nvrtc()
    nvrtc.launched = []

    class RawModule:
        def __init__(self, path):
            self.path = path

        def get_function(self, name):
            cubin = Path(self.path).read_bytes()
            return lambda grid, block, arguments, shared_mem: nvrtc.launched.append((name, cubin, grid, arguments))

    stream = types.SimpleNamespace(__enter__=lambda self: self, __exit__=lambda *_: None)
    entered = type("Stream", (), {"__init__": lambda *_: None, **vars(stream)})
    cuda = types.SimpleNamespace(nvrtc=nvrtc, ExternalStream=entered)
    kinds = {name: (lambda kind: lambda value: (kind, value))(name) for name in ("uint64", "int64", "float32", "bool_")}
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, RawModule=RawModule, **kinds))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: types.SimpleNamespace(cuda_stream=0))
    return nvrtc


def test_subnormals_are_kept_as_where_the_kernel_was_compiled_ahead(nvrtc):
    make_launch({"BLOCK": 64}, "bfloat16")(CODE, "f", (1,), (32,), ())
    assert nvrtc.options[:2] == ["--gpu-architecture=sm_90a", "-std=c++17"]
    assert all(option.startswith("--include-path=") for option in nvrtc.options[2:])
    assert "#define BLOCK 64" in nvrtc.code and "typedef __nv_bfloat16 scalar_t;" in nvrtc.code


def test_a_kernel_is_launched_with_addresses_and_wide_numbers(nvrtc):
    x = torch.ones(3)
    make_launch({}, "float32")(CODE, "f", (2,), (32,), (x, 3, 0.5, True))
    arguments = (("uint64", x.data_ptr()), ("int64", 3), ("float32", 0.5), ("bool_", True))
    assert nvrtc.launched == [("f", b"machine code", (2,), arguments)]


def test_what_the_compiler_says_is_a_build_error(nvrtc):
    with pytest.raises(BuildError, match="line 3: stop"):
        make_launch({}, "float32")("#error stop", "f", (1,), (32,), ())
