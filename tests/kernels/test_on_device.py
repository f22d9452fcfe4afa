"""Host functions of GPU seeds on tensors of a GPU that is not there: what they make is where training's tensors are."""

import types
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from kernelsearch.build.host import host_functions
from kernelsearch.build.triton_worker import load
from kernelsearch.sandbox.languages import GPU_LANGUAGES
from kernelsearch.spec import TargetFolder, TensorSpec, library_path, read_candidate, saved_tensors, target_names
from kernelsearch.verify.case import TORCH_DTYPES

DTYPE = "bfloat16"
FOLDERS = {name: TargetFolder(library_path() / name) for name in target_names(library_path())}
SEEDS = [(n, lang, s) for n, f in FOLDERS.items() for lang in sorted(GPU_LANGUAGES) for s in f.seeds(lang)]
NUMBERS = (int, float, bool, str)


class Launches:
    """Stands for every kernel: `kernel[grid](...)` and `launch(...)` are kept, not run."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []

    def __getitem__(self, grid: Any) -> Any:
        return lambda *given, **named: self.arguments.extend((*given, *named.values()))

    def launch(
        self, source: str, name: str, grid: Any, block: Any, given: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        self.arguments.extend(given)


def host_of(source: str, tunables: dict[str, Any], launches: Launches) -> dict[str, Any]:
    """The candidate's globals with every kernel replaced."""
    found = load(source, tunables)
    host = dict(found) | {"launch": launches.launch}
    for name, value in found.items():
        if type(value).__name__ == "JITFunction":
            host[name] = launches
        elif isinstance(value, types.FunctionType):
            host[name] = types.FunctionType(value.__code__, host, name, value.__defaults__)
    return host


@pytest.mark.parametrize(("target", "language", "seed"), SEEDS)
def test_all_that_a_host_function_gives_a_kernel_or_returns_is_on_the_device(target, language, seed):
    if language == "triton":
        pytest.importorskip("triton")
    folder, launches = FOLDERS[target], Launches()
    candidate = read_candidate(target, language, folder.seeds(language)[seed], seed)
    passed = host_functions(folder.target, candidate.declared)
    host = host_of(candidate.source, dict(candidate.tunables), launches)
    workload = folder.workloads("d12", DTYPE)[0]
    entry = folder.target.entry(workload.entry)
    saved = saved_tensors(candidate.declared, folder.target, entry.name)
    ways = {"forward": (entry.inputs, (*entry.outputs, *saved))}
    if entry.has_backward:
        given = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
        ways["backward"] = (given, entry.input_gradients())

    def described(specs: Sequence[TensorSpec]) -> list[Any]:
        return [(t.shape(workload.sizes), TORCH_DTYPES[t.element(DTYPE)], "cuda") for t in specs]

    with FakeTensorMode():
        for way, (taken, wanted) in ways.items():
            made = [torch.empty(shape, dtype=dtype, device=place) for shape, dtype, place in described(taken)]
            known = {**workload.sizes, **workload.parameters} | dict(zip((t.name for t in taken), made, strict=True))
            function = f"{entry.name}_{way}"
            returned = host[function](*(known[name] for name in passed[function]))
            listed = [] if returned is None else list(returned) if isinstance(returned, tuple) else [returned]
            assert [(tuple(t.shape), t.dtype, t.device.type) for t in listed] == described(wanted)
    assert launches.arguments
    assert all(a.device.type == "cuda" if isinstance(a, Tensor) else isinstance(a, NUMBERS) for a in launches.arguments)
