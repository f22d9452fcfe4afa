"""Registered operators: gradients, layouts, tracing."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from kernelsearch.dispatch.bind import Binding
from tests.dispatch.sample import FOLDER

INDEX, SCALE = torch.arange(3), 2.0
FACTOR = (SCALE + INDEX.float())[:, None]


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(3, 8, generator=generator), torch.randn(3, 8, generator=generator)


@pytest.fixture
def blend(binding: Binding) -> Callable[..., tuple[Tensor, Tensor]]:
    return binding.ops["blend"]


@pytest.fixture
def overloads(binding: Binding) -> dict[str, Callable]:
    """The registered operators by name without dtype and digest."""
    names = [name for name in dir(torch.ops.kernelsearch) if binding.bound[0].accepted.digest[:8] in name]
    return {name.replace(f"_float32_{binding.bound[0].accepted.digest[:8]}", ""): name for name in names}


def overload(overloads: dict[str, str], name: str) -> Callable:
    return getattr(torch.ops.kernelsearch, overloads[name]).default


def test_both_gradients_are_the_kernels(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    product, total = blend(x, y, INDEX, SCALE)
    upstream = torch.randn(3, 8)
    dx, dy = torch.autograd.grad((product, total), (x, y), (upstream, 2 * upstream))
    assert torch.allclose(dx, FACTOR * y * upstream + 2 * upstream)
    assert torch.allclose(dy, FACTOR * x * upstream + 2 * upstream)


def test_an_output_that_is_not_used_has_zero_gradient(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    (dx,) = torch.autograd.grad(blend(x, y, INDEX, SCALE)[1], x, torch.ones(3, 8))
    assert torch.equal(dx, torch.ones(3, 8))


@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_gradient_asked_for_is_returned(blend: Callable, wanted: int):
    inputs = pair()
    inputs[wanted].requires_grad_()
    blend(*inputs, INDEX, SCALE)[0].backward(torch.ones(3, 8))
    assert torch.equal(inputs[wanted].grad, FACTOR * inputs[1 - wanted])
    assert inputs[1 - wanted].grad is None


def test_an_expanded_upstream_gradient_is_made_dense(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    (dx,) = torch.autograd.grad(blend(x, y, INDEX, SCALE)[0].sum(), x)
    assert torch.equal(dx, FACTOR * y)


def test_gradients_reach_a_transposed_leaf(blend: Callable):
    x, y = pair()
    leaf = x.T.contiguous().requires_grad_()
    blend(leaf.T, y, INDEX, SCALE)[0].sum().backward()
    assert torch.equal(leaf.grad, (FACTOR * y).T)


def test_a_second_derivative_is_refused(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(blend(x, y, INDEX, SCALE)[0].sum(), x, create_graph=True)


def test_a_saved_input_changed_before_the_backward_is_an_error(blend: Callable, binding: Binding):
    x, y = (t.requires_grad_() for t in pair())
    mixed = x * 1
    product, _ = blend(mixed, y, INDEX, SCALE)
    with torch.no_grad():
        binding.ops["nudge"](mixed.view(-1), torch.ones(24), torch.zeros(24), step=1, lr=1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_without_gradients_no_input_is_kept_alive(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    kept = x * 1
    reference = weakref.ref(kept)
    with torch.no_grad():
        outputs = blend(kept, y, INDEX, SCALE)
    del kept
    assert reference() is None and not outputs[0].requires_grad


def test_inference_mode_runs_the_kernel(blend: Callable):
    with torch.inference_mode():
        x, y = pair()
        assert torch.equal(blend(x, y, INDEX, SCALE)[0], FACTOR * x * y)


@pytest.mark.parametrize("compiled", [False, True])
def test_leading_axes_stand_for_the_contracts_first(blend: Callable, compiled: bool):
    x, y = (t.requires_grad_() for t in pair())
    call = torch.compile(blend, fullgraph=True, backend="aot_eager") if compiled else blend
    product, total = call(x.view(3, 1, 8), y.view(3, 1, 8), INDEX, SCALE)
    dx, dy = torch.autograd.grad((product.sum(), total.sum()), (x, y))
    assert torch.equal(product, (FACTOR * x * y).view(3, 1, 8)) and torch.equal(total, (x + y).view(3, 1, 8))
    assert torch.allclose(dx, FACTOR * y + 1) and torch.allclose(dy, FACTOR * x + 1)


def test_leading_axes_that_disagree_are_not_the_kernels(blend: Callable, binding: Binding):
    x = torch.ones(2, 2, 8)
    with pytest.raises(RuntimeError):  # the baseline's, which cannot broadcast them either
        blend(x, x.view(4, 8), torch.arange(4), SCALE)
    assert binding.report()["kernels"]["blend"]["fallbacks"] == {"x has another shape": 1}


def test_an_entry_that_does_not_name_them_has_no_leading_axes(binding: Binding):
    """A function may look from one place of its first axis to another: merged axes would mean something else."""
    p = torch.ones(2, 5)
    binding.ops["nudge"](p, torch.ones(2, 5), torch.zeros(2, 5), step=1, lr=0.5)
    assert binding.report()["kernels"]["nudge"]["fallbacks"] == {"p has another shape": 1} and p.eq(0.5).all()


def test_a_mode_around_the_backward_of_leading_axes_gives_their_gradient(blend: Callable):
    x = pair()[0].view(3, 1, 8).requires_grad_()
    total = blend(x, torch.ones(3, 1, 8), INDEX, SCALE)[0].sum()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        total.backward()
    assert torch.equal(x.grad, FACTOR.expand(3, 8).reshape(3, 1, 8))


def test_a_dispatch_mode_sees_the_operator(blend: Callable):
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        blend(*pair(), INDEX, SCALE)
    assert any(name.startswith("kernelsearch.blend_float32_") for name in seen)


def test_a_dispatch_mode_around_the_backward_alone_sees_its_operator(blend: Callable):
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    x, y = (t.requires_grad_() for t in pair())
    total = blend(x, y, INDEX, SCALE)[0].sum()
    with Watch():
        total.backward()
    assert any("_backward" in name for name in seen if name.startswith("kernelsearch.blend_float32_"))


def test_a_kept_tensor_that_a_hook_gives_back_changed_is_refused(blend: Callable):
    x, y = (t.requires_grad_() for t in pair())
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t.double()):
        total = blend(x, y, INDEX, SCALE)[0].sum()
        with pytest.raises(ValueError, match="give contiguous tensors"):
            total.backward()


def test_a_functional_transform_is_refused_before_memory_is_read(binding: Binding):
    x, y = pair()
    with pytest.raises(RuntimeError, match="functorch"):
        torch.func.grad(lambda x: binding.ops["blend"](x, y, INDEX, SCALE)[0].sum())(x)
    assert binding.report()["kernels"]["blend"]["launches"]["forward"] == 0


def test_a_profiler_sees_the_operator(blend: Callable):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        blend(*pair(), INDEX, SCALE)
    assert any(event.key.startswith("kernelsearch::blend_float32_") for event in profile.key_averages())


def test_a_fake_tensor_has_the_right_shape_and_launches_nothing(binding: Binding):
    with FakeTensorMode() as mode:
        x, y = (mode.from_tensor(t) for t in pair())
        product, _ = binding.ops["blend"](x, y, mode.from_tensor(INDEX), SCALE)
    assert product.shape == (3, 8) and binding.report()["kernels"]["blend"]["launches"]["forward"] == 0


def test_the_forward_operator_passes_opcheck(overloads: dict[str, str]):
    x, y = (t.requires_grad_() for t in pair())
    torch.library.opcheck(overload(overloads, "blend"), (x, y, INDEX, SCALE))


def test_the_backward_operator_passes_opcheck(overloads: dict[str, str]):
    dense = [torch.randn(3, 8) for _ in range(4)]
    arguments = (*pair(), INDEX, dense[0], dense[1], torch.randn(3), dense[2], dense[3], SCALE)
    torch.library.opcheck(overload(overloads, "blend_backward"), arguments)


def test_the_in_place_operator_passes_opcheck(overloads: dict[str, str]):
    torch.library.opcheck(overload(overloads, "nudge"), (torch.ones(5), torch.ones(5), torch.zeros(5), 2, 0.5))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.ones(3, 8), torch.ones(3, 4)),
        (torch.ones(3, 8), torch.ones(8, 3).T),
        (torch.ones(3, 8), torch.ones(3, 8, dtype=torch.float64)),
        (torch.ones(3, 8), torch.ones(3)),
    ],
)
def test_an_operator_called_directly_checks_before_it_reads_memory(overloads: dict[str, str], x: Tensor, y: Tensor):
    with pytest.raises(ValueError, match=r"shape|contiguous"):
        overload(overloads, "blend")(x, y, INDEX, SCALE)


def test_a_kernel_is_registered_once_for_the_process(binding: Binding, bind_blend: Callable[..., Binding]):
    assert bind_blend().bound[0].launches is binding.bound[0].launches


def test_the_whole_graph_compiles_and_launches_are_counted(binding: Binding):
    x, y = (t.requires_grad_() for t in pair())
    compiled = torch.compile(
        lambda x, y: binding.ops["blend"](x, y, INDEX, SCALE)[0] * 3, fullgraph=True, backend="aot_eager"
    )
    outputs = [compiled(x, y) for _ in range(4)]
    outputs[3].sum().backward()
    assert torch.equal(outputs[3], FACTOR * x * y * 3) and torch.equal(x.grad, FACTOR * y * 3)
    assert binding.report()["kernels"]["blend"]["launches"] == {"forward": 4, "backward": 1}


def test_a_compiled_fallback_is_the_baseline_and_counted_once_for_the_trace(binding: Binding):
    x = torch.ones(20, 4)
    compiled = torch.compile(
        lambda x: binding.ops["blend"](x, x, torch.arange(20), SCALE), fullgraph=True, backend="eager"
    )
    outputs = [compiled(x) for _ in range(3)]
    assert torch.equal(outputs[2][0], FOLDER.module("baseline").blend(x, x, torch.arange(20), SCALE)[0])
    assert binding.report()["kernels"]["blend"]["fallbacks"] == {"while tracing: N <= 4 * D does not hold": 1}


def test_changing_shapes_inside_the_domain_share_one_graph(binding: Binding):
    def product(x: Tensor) -> Tensor:
        return binding.ops["blend"](x, x, torch.zeros(x.shape[0], dtype=torch.int64), 2.0)[0]

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(product, fullgraph=True, backend=counter, dynamic=True)
    outputs = [compiled(torch.full((n, 8), 3.0)) for n in (3, 5, 7)]
    assert [tuple(out.shape) for out in outputs] == [(3, 8), (5, 8), (7, 8)] and outputs[2].eq(18).all()
    assert counter.frame_count == 1


def test_an_in_place_entry_compiles(binding: Binding):
    def step(p: Tensor, g: Tensor, m: Tensor) -> Tensor:
        binding.ops["nudge"](p, g, m, step=2, lr=0.25)
        return p + 1

    p, g, m = torch.ones(5), torch.ones(5), torch.zeros(5)
    result = torch.compile(step, fullgraph=True, backend="aot_eager")(p, g, m)
    assert torch.equal(p, torch.full((5,), 0.5)) and torch.equal(result, p + 1) and torch.equal(m, g)


@pytest.mark.slow
def test_inductor_compiles_the_whole_graph(binding: Binding):
    x, y = (t.requires_grad_() for t in pair())
    compiled = torch.compile(lambda x, y: (binding.ops["blend"](x, y, INDEX, SCALE)[0] * 3).sum(), fullgraph=True)
    compiled(x, y).backward()
    assert torch.allclose(x.grad, FACTOR * y * 3)
