"""Kernels for a GPU as operators, on tensors that stand for some on one: traced, never run."""

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from kernelsearch.build.on_device import load_candidate
from kernelsearch.dispatch import gpu_operators
from kernelsearch.dispatch.bind import Binding, bind
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.gpu_operators import Loaded, register_loaded
from kernelsearch.dispatch.operators import Operators
from kernelsearch.dispatch.store import Store
from kernelsearch.errors import ContractError, EnvironmentMissing
from kernelsearch.spec import Status, TargetFolder, Verdict, library_path, read_candidate, saved_tensors
from tests.dispatch.sample import make_accepted


def operators_of(target: str, language: str, seed: str, entry: str | None = None) -> Operators:
    folder = TargetFolder(library_path() / target)
    candidate = read_candidate(target, language, folder.seeds(language)[seed], seed)
    found = folder.target.entry(entry or target)
    loaded = Loaded(folder.target, candidate, "bfloat16")
    return register_loaded(found, saved_tensors(candidate.declared, folder.target, found.name), loaded)


@pytest.fixture
def fake() -> Iterator[Callable[..., Tensor]]:
    """Makes tensors without data, of a GPU that is not there unless said otherwise.

    Those that need gradients are said to be of the CPU: a PyTorch without CUDA aborts where autograd asks for a stream.
    """
    with FakeTensorMode():
        yield lambda *shape, dtype=torch.bfloat16, device="cuda": torch.empty(shape, dtype=dtype, device=device)


@pytest.fixture
def no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.compile asks Triton for when it looks which tensors a kernel writes."""
    triton = pytest.importorskip("triton")
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    driver = types.SimpleNamespace(get_current_target=lambda: target)
    monkeypatch.setattr(triton.runtime.driver, "_active", driver)


def graph_of(function: Callable[..., Tensor], *arguments: Tensor) -> list[str]:
    """What a compiler gets to see of a function: the operations of its forward and backward."""
    from torch._functorch.aot_autograd import aot_function

    seen: list[str] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph

    out = aot_function(function, fw_compiler=keep, bw_compiler=keep)(*arguments)
    out.backward(torch.empty_like(out))
    return seen


def test_a_compiler_sees_the_launches_of_a_triton_kernel(fake, hopper):
    operators = operators_of("backout_norm", "triton", "tiles")
    x, back = fake(64, 768, device="cpu").requires_grad_(), fake(64, 768, device="cpu")
    seen = graph_of(operators.forward, x, back, fake(dtype=torch.float32, device="cpu"))
    assert sum("triton_kernel_wrapper_functional" in name for name in seen) == 2
    assert not any("kernelsearch" in name for name in seen)
    assert operators.launches.traced > 0 == operators.launches.forward


def test_a_triton_kernel_says_what_it_returns_before_it_runs(fake):
    pytest.importorskip("triton")
    operators = operators_of("smear_embed", "triton", "tiles")
    out, gate = operators.forward(fake(2, 64, 768), fake(1, 24, dtype=torch.float32), fake(dtype=torch.float32))
    assert (out.shape, out.dtype, out.device.type) == ((2, 64, 768), torch.bfloat16, "cuda")
    assert (gate.shape, gate.dtype) == ((2, 64), torch.float32)


def test_a_cuda_kernel_is_one_operation_forward_and_one_backward(fake, no_cupy):
    operators = operators_of("softcap_cross_entropy", "cuda", "block_rows")
    logits, targets = fake(64, 4096, device="meta").requires_grad_(), fake(64, dtype=torch.int64, device="meta")
    seen = graph_of(lambda a, b: operators.forward(a, b)[0], logits, targets)
    assert [name.split(".")[1][:21] for name in seen if "kernelsearch" in name] == ["softcap_cross_entropy"] * 2


def test_one_process_holds_several_candidates_with_their_texts():
    texts = ["def f():\n    return 1\n", "\ndef f():\n    return 2\n"]
    functions = [load_candidate(text, "triton", {}, "float32")["f"] for text in texts]
    assert [inspect.getsource(f) for f in functions] == [text.lstrip() for text in texts]


def test_tensors_that_are_not_on_the_device_are_refused(no_cupy):
    operators = operators_of("relu2", "cuda", "vectors")
    with pytest.raises(ValueError, match="one cuda device"):
        operators.routine.run(torch.ones(8, dtype=torch.bfloat16))
    assert operators.launches.forward == 0


class Plain:
    """Stands for a loaded candidate: host functions of PyTorch's own, which see rows as the contract has them."""

    traced, dtype, digest = None, "float32", "plainrows"

    def __init__(self) -> None:
        self.seen: list[torch.Size] = []
        self.run = {"backout_norm_forward": self.forward, "backout_norm_backward": self.backward}

    def forward(self, x: Tensor, back: Tensor, factor: Tensor) -> Tensor:
        self.seen.append(x.shape)
        return x - factor * back

    def backward(self, x: Tensor, back: Tensor, factor: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        self.seen.append(dout.shape)
        return dout, -factor * dout, -(back * dout).sum()


def test_host_functions_see_the_axes_of_the_contract_whatever_leads(monkeypatch):
    monkeypatch.setattr(gpu_operators, "DEVICE", "cpu")
    entry, loaded = TargetFolder(library_path() / "backout_norm").target.entry("backout_norm"), Plain()
    operators = register_loaded(entry, (), loaded)  # type: ignore[arg-type]
    tensors = [torch.ones(2, 3, 4, requires_grad=True), torch.ones(2, 3, 4), torch.tensor(0.5)]
    out = operators.launch(operators.routine.plan(tuple(t.shape for t in tensors)), tensors, [])
    out.sum().backward()
    assert torch.equal(out, torch.full((2, 3, 4), 0.5)) and torch.equal(tensors[0].grad, torch.ones(2, 3, 4))
    assert loaded.seen == [(6, 4), (6, 4)] and (operators.launches.forward, operators.launches.backward) == (1, 1)


def test_a_source_that_the_lint_refuses_is_not_loaded(no_cupy):
    folder = TargetFolder(library_path() / "relu2")
    source = folder.seeds("cuda")["vectors"] + "\nimport os\n"
    with pytest.raises(ContractError, match="import os"):
        Loaded(folder.target, read_candidate("relu2", "cuda", source, "t"), "bfloat16")


def test_without_cupy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(EnvironmentMissing, match=r"kernelsearch\[cuda13\]"):
        operators_of("relu2", "cuda", "vectors")


@pytest.fixture
def bound(tmp_path: Path, no_cupy: None) -> Binding:
    """relu2 on CUDA, accepted where this is."""
    folder = TargetFolder(library_path() / "relu2")
    candidate = read_candidate("relu2", "cuda", folder.seeds("cuda")["vectors"], "sweep")
    domain = {"relu2": {"N": (1, 1 << 24)}}
    verdict = Verdict(
        "relu2", candidate.digest, "cuda", "bfloat16", Status.PASSED, "", 1.0,
        accepted=True, speedup=1.6, low=1.5, high=1.7, equivalence="scaled", domain=domain,
    )  # fmt: skip
    accepted = make_accepted(verdict=verdict, device="cuda", dtype="bfloat16", fingerprint=fingerprint("cuda"))
    store = Store(tmp_path / "library", tmp_path)
    store.add(replace(accepted, candidate=candidate, contract_digest=folder.contract_digest))
    return bind([folder], store, device="cuda", dtype="bfloat16", admit=lambda kernel: False, cache_dir=tmp_path)


def test_training_calls_the_kernel_bound_for_its_gpu(bound, fake):
    out = bound.ops["relu2"](fake(4, 64, 768))
    assert (out.shape, out.device.type, bound.refused) == ((4, 64, 768), "cuda", {})
    assert bound.bound[0].fallbacks == {}


def test_a_tensor_of_the_cpu_falls_back_and_is_counted(bound):
    x = torch.ones(8, dtype=torch.bfloat16)
    assert torch.equal(bound.ops["relu2"](x), x)
    assert list(bound.bound[0].fallbacks.values()) == [1] and "another device" in str(bound.bound[0].fallbacks)


def test_a_kernel_of_another_gpu_is_judged_again():
    accepted = make_accepted(device="cuda", fingerprint={**fingerprint("cuda"), "gpu": "another"})
    assert accepted.needs_rejudging(fingerprint("cuda"))
    assert not replace(accepted, fingerprint=fingerprint("cuda")).needs_rejudging(fingerprint("cuda"))
