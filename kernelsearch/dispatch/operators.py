"""Kernels as torch.library operators, so that eager mode, autograd and torch.compile all see an ordinary operator.

    kernelsearch::<entry>_<dtype>_<digest8>(inputs, parameters) -> (outputs, saved tensors)
    kernelsearch::<entry>_<dtype>_<digest8>_backward(inputs, outputs, saved, output gradients, parameters) -> gradients

`Library.define` and `impl` rather than `custom_op`, which costs three times as much per call. The trap is that anyone
can call an operator with anything: it checks dtype, layout and shapes itself before it hands out addresses.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter as TensorParameter

from kernelsearch.build.abi import backward_function, forward_function
from kernelsearch.dispatch.native import load_function
from kernelsearch.errors import ContractError
from kernelsearch.spec import Entry, Parameter, TensorSpec

NAMESPACE = "kernelsearch"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64}
SCHEMA_TYPES = {"int64": "SymInt", "float": "float"}
REMEMBERED_SHAPES = 256

Shapes = tuple[Sequence[int], ...]
Sizes = list[int]
# Given whether it is a backward and its arguments, before the call: what to do with the results, or None.
Watch = Callable[[bool, tuple[Any, ...]], Callable[[list[Tensor]], None] | None]


@dataclass
class Launches:
    """How often the C functions ran; counted where they run, so exact under torch.compile too.

    `watch` sees every call, also there; kernelsearch.dispatch.shadow sets it.
    """

    forward: int = 0
    backward: int = 0
    watch: Watch | None = None


@dataclass(frozen=True)
class Call:
    """What one C function reads, makes and changes in place; `dtype` is what "scalar" stands for."""

    reads: tuple[TensorSpec, ...]
    makes: tuple[TensorSpec, ...]
    updates: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    axes: tuple[str, ...]
    dtype: str

    def torch_dtype(self, spec: TensorSpec) -> torch.dtype:
        return DTYPES[spec.element(self.dtype)]

    def schema(self) -> str:
        """Arguments and results in the notation of torch.library, without the name."""
        marks = itertools.cycle("abcdefgh")
        tensors = [f"Tensor({next(marks)}!)" if t.name in self.updates else "Tensor" for t in self.reads]
        arguments = [f"{kind} {t.name}" for kind, t in zip(tensors, self.reads, strict=True)]
        arguments += [f"{SCHEMA_TYPES[p.kind]} {p.name}" for p in self.parameters]
        return f"({', '.join(arguments)}) -> ({', '.join('Tensor' for _ in self.makes)})"

    def axis_sources(self) -> tuple[tuple[int, int], ...]:
        """For each axis, a tensor that is read and the dimension of it that has this extent."""
        places: dict[str, tuple[int, int]] = {}
        for index, tensor in enumerate(self.reads):
            for dimension, axis in enumerate(tensor.axes):
                places.setdefault(axis, (index, dimension))
        missing = [axis for axis in self.axes if axis not in places]
        if missing:
            raise ContractError(f"axes={missing}: no input has them, so a call cannot tell their extents")
        return tuple(places[axis] for axis in self.axes)


@dataclass(frozen=True)
class Operators:
    """The registered operator of one kernel and entry, and two shorter ways to the same C functions.

    `run` and `record` (with autograd) skip the dispatcher, for a call that nothing else watches; `library` keeps the
    registration alive.
    """

    forward: Callable[..., Any]
    run: Callable[..., Any]
    record: Callable[..., Any]
    launches: Launches
    library: torch.library.Library

    def choose(self, tensors: Sequence[Tensor]) -> Callable[..., Any]:
        """The shortest way for these tensors: the operator where a tracer, mode, profiler or subclass must see it."""
        if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
            return self.forward
        needs_gradient = False
        for tensor in tensors:
            if type(tensor) is not Tensor and type(tensor) is not TensorParameter:
                return self.forward
            needs_gradient = needs_gradient or tensor.requires_grad
        if torch._C._autograd._profiler_enabled():
            return self.forward
        return self.record if needs_gradient and torch.is_grad_enabled() else self.run


def forward_call(entry: Entry, saved: tuple[TensorSpec, ...], dtype: str) -> Call:
    axes = tuple(axis.name for axis in entry.axes)
    return Call(entry.inputs, (*entry.outputs, *saved), entry.updates, entry.parameters, axes, dtype)


def backward_call(entry: Entry, saved: tuple[TensorSpec, ...], dtype: str) -> Call:
    axes = tuple(axis.name for axis in entry.axes)
    reads = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
    return Call(reads, entry.input_gradients(), (), entry.parameters, axes, dtype)


@cache
def register(
    entry: Entry, saved: tuple[TensorSpec, ...], dtype: str, device: str, shared_object: Path, digest: str
) -> Operators:
    """The operators of `entry` for one kernel, registered once for the process."""
    if entry.updates and entry.has_backward:
        raise ContractError(f"entry={entry.name!r} changes inputs in place, so it cannot have a backward")
    library = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
    launches = Launches()
    name = _free_name(f"{entry.name}_{dtype}_{digest[:8]}")

    def observe_forward(arguments: tuple[Any, ...]) -> Any:
        launches.forward += 1
        return None if launches.watch is None else launches.watch(False, arguments)

    def observe_backward(arguments: tuple[Any, ...]) -> Any:
        launches.backward += 1
        return None if launches.watch is None else launches.watch(True, arguments)

    call = forward_call(entry, saved, dtype)
    function = load_function(shared_object, forward_function(entry, saved))
    run = _implementation(call, function, observe_forward)
    forward = _define(library, name, call, run, device)
    if not entry.has_backward:
        return Operators(forward, run, forward, launches, library)
    call = backward_call(entry, saved, dtype)
    function = load_function(shared_object, backward_function(entry, saved))
    backward = _define(library, f"{name}_backward", call, _implementation(call, function, observe_backward), device)
    keep, differentiate = _autograd_formula(entry, len(saved), backward)
    torch.library.register_autograd(f"{NAMESPACE}::{name}", differentiate, setup_context=keep, lib=library)
    return Operators(forward, run, _recorder(run, keep, differentiate), launches, library)


def _free_name(wanted: str) -> str:
    """`wanted`, with a number where one process holds two kernels of one digest (two versions of a contract)."""
    taken = getattr(torch.ops, NAMESPACE)
    names = itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(2)))
    return next(name for name in names if not hasattr(taken, name))


def _define(
    library: torch.library.Library, name: str, call: Call, run: Callable[..., Any], device: str
) -> Callable[..., Any]:
    library.define(name + call.schema(), tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    library.impl(name, run, device.upper())  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"{NAMESPACE}::{name}", _fake(call), lib=library)
    overload: Callable[..., Any] = getattr(getattr(torch.ops, NAMESPACE), name).default
    return overload


def _implementation(
    call: Call, function: Callable[..., None], observe: Callable[[tuple[Any, ...]], Any]
) -> Callable[..., Any]:
    """What the operator does on the device: check, allocate, count, call."""
    n_tensors = len(call.reads)
    dtypes = tuple(call.torch_dtype(t) for t in call.reads)
    made_dtypes = tuple(call.torch_dtype(t) for t in call.makes)
    updated = tuple(i for i, t in enumerate(call.reads) if t.name in call.updates)
    plan = lru_cache(maxsize=REMEMBERED_SHAPES)(_planner(call))

    def run(*arguments: Any) -> Any:
        tensors = arguments[:n_tensors]
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            if tensor.dtype is not dtype or not tensor.is_contiguous():
                raise ValueError(f"kernelsearch operator {call.schema()}: give contiguous tensors of {dtypes}")
        sizes, shapes = plan(tuple([t.shape for t in tensors]))
        made = [tensors[0].new_empty(shape, dtype=dtype) for shape, dtype in zip(shapes, made_dtypes, strict=True)]
        addresses = [t.data_ptr() for t in tensors]
        addresses += [t.data_ptr() for t in made]
        finish = observe(arguments)
        function(*addresses, *sizes, *arguments[n_tensors:])
        for index in updated:
            torch.autograd.graph.increment_version(tensors[index])
        if finish is not None:
            finish(made)
        return _result(made)

    return run


def _fake(call: Call) -> Callable[..., Any]:
    """Shapes and dtypes of the results, for tracing."""
    sources = call.axis_sources()
    dtypes = [call.torch_dtype(t) for t in call.makes]

    def trace(*arguments: Any) -> Any:
        sizes = dict(zip(call.axes, (arguments[i].shape[d] for i, d in sources), strict=True))
        made = [
            arguments[0].new_empty(spec.shape(sizes), dtype=dtype)
            for spec, dtype in zip(call.makes, dtypes, strict=True)
        ]
        return _result(made)

    return trace


def _planner(call: Call) -> Callable[[Shapes], tuple[Sizes, list[tuple[int, ...]]]]:
    """A function from the shapes read to the axes' sizes and the shapes to make; refuses shapes that disagree."""
    sources = call.axis_sources()

    def plan(shapes: Shapes) -> tuple[Sizes, list[tuple[int, ...]]]:
        ranks = [len(shape) for shape in shapes]
        if ranks != [len(t.axes) for t in call.reads]:
            raise ValueError(f"shapes={shapes}: expected {[t.axes for t in call.reads]}")
        sizes = [shapes[i][d] for i, d in sources]
        bound = dict(zip(call.axes, sizes, strict=True))
        for tensor, shape in zip(call.reads, shapes, strict=True):
            if tuple(shape) != tensor.shape(bound):
                raise ValueError(f"{tensor.name}: shape {tuple(shape)}, but the other tensors say {bound}")
        return sizes, [t.shape(bound) for t in call.makes]

    return plan


def _result(made: list[Tensor]) -> Any:
    """What torch.library expects for no, one or several results."""
    if len(made) > 1:
        return tuple(made)
    return made[0] if made else None


def _recorder(
    run: Callable[..., Any], keep: Callable[..., None], differentiate: Callable[..., Any]
) -> Callable[..., Any]:
    """`run` with the operator's own autograd formula, without the dispatcher."""

    class Recorded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            made = run(*arguments)
            keep(ctx, arguments, made)
            return made

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            return differentiate(ctx, *gradients)

    apply: Callable[..., Any] = Recorded.apply
    return apply


def _autograd_formula(
    entry: Entry, n_saved: int, backward: Callable[..., Any]
) -> tuple[Callable[..., None], Callable[..., Any]]:
    """(keep, differentiate): what the forward leaves, and the gradients of every input and parameter.

    Gradients nobody asked for are computed with the rest and dropped. A missing output gradient counts as zeros.
    """
    n_inputs, n_outputs, n_parameters = len(entry.inputs), len(entry.outputs), len(entry.parameters)
    positions = tuple(next(i for i, t in enumerate(entry.inputs) if t.name == name) for name in entry.gradients)

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        made = output if isinstance(output, tuple) else (output,)
        ctx.set_materialize_grads(False)
        if n_saved:
            ctx.mark_non_differentiable(*made[n_outputs:])
        ctx.save_for_backward(*inputs[:n_inputs], *made)
        ctx.numbers = inputs[n_inputs:]

    def differentiate(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError(f"{entry.name}: this kernel has no second derivative; use the baseline instead")
        kept = ctx.saved_tensors
        outputs = kept[n_inputs : n_inputs + n_outputs]
        dense = [
            torch.zeros_like(out) if gradient is None else gradient.contiguous()
            for out, gradient in zip(outputs, gradients[:n_outputs], strict=True)
        ]
        made = backward(*kept, *dense, *ctx.numbers)
        found: list[Tensor | None] = [None] * (n_inputs + n_parameters)
        needed = ctx.needs_input_grad
        for position, gradient in zip(positions, made if isinstance(made, list | tuple) else (made,), strict=True):
            found[position] = gradient if needed[position] else None
        return tuple(found)

    return keep, differentiate
