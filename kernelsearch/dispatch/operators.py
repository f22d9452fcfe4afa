"""Kernels as torch.library operators, so that eager mode, autograd and torch.compile all see an ordinary operator.

    kernelsearch::<entry>_<dtype>_<digest8>(inputs, parameters) -> (outputs, saved tensors)
    kernelsearch::<entry>_<dtype>_<digest8>_backward(inputs, outputs, saved, output gradients, parameters) -> gradients

`Library.define` and `impl` rather than `custom_op`, which costs three times as much per call; and `Operators.launch`
for a call that nothing watches, which passes the dispatcher by, forward and backward.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.build.abi import backward_function, forward_function
from kernelsearch.dispatch.call import (
    Call,
    Observe,
    Plan,
    Routine,
    as_result,
    backward_call,
    flatten,
    forward_call,
    is_observed,
    make_routine,
    plain_shapes,
)
from kernelsearch.dispatch.native import load_function
from kernelsearch.errors import ContractError
from kernelsearch.spec import Entry, TensorSpec

NAMESPACE = "kernelsearch"

# Given whether it is a backward and its arguments, before the call: what to do with the results, or None.
Watch = Callable[[bool, tuple[Any, ...]], Callable[[list[Tensor]], None] | None]
# A forward of plain tensors, numbers and the plan at the end: its results, attached to the graph.
Record = Callable[..., Any]


@dataclass
class Launches:
    """How often the functions ran; counted where they run, so exact under torch.compile too.

    Except where torch.compile looks into the operator (gpu_operators.py): there `traced` counts how often it did.
    `watch` sees every call that is counted; kernelsearch.dispatch.shadow sets it.
    """

    forward: int = 0
    backward: int = 0
    traced: int = 0
    watch: Watch | None = None


@dataclass(frozen=True)
class Operators:
    """The registered operator of one kernel and entry, and a shorter way to the same functions.

    `record` is None for an entry without a backward; `registration` keeps the operator alive.
    """

    forward: Callable[..., Any]
    routine: Routine
    record: Record | None
    launches: Launches
    registration: object

    def launch(self, plan: Plan, tensors: Sequence[Tensor], numbers: Sequence[Any]) -> Any:
        """The results of plain tensors with this plan, when nothing is observed; with autograd where it is wanted."""
        if self.record is not None and torch.is_grad_enabled():
            for tensor in tensors:
                if tensor.requires_grad:
                    return self.record(*tensors, *numbers, plan)
        return as_result(self.routine.launch(plan, tensors, numbers))


@cache
def register(
    entry: Entry, saved: tuple[TensorSpec, ...], dtype: str, device: str, shared_object: Path, digest: str
) -> Operators:
    """The operators of `entry` for one kernel, registered once for the process."""
    refuse_updates_with_backward(entry)
    library = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
    launches = Launches()
    name = free_name(f"{entry.name}_{dtype}_{digest[:8]}")
    forward_of, backward_of = forward_call(entry, saved, dtype), backward_call(entry, saved, dtype)
    observe_forward, observe_backward = observers(launches, forward_of, backward_of)
    function = load_function(shared_object, forward_function(entry, saved))
    routine = make_routine(forward_of, function, observe_forward)
    forward = define(library, name, routine, device)
    if not entry.has_backward:
        return Operators(forward, routine, None, launches, library)
    function = load_function(shared_object, backward_function(entry, saved))
    back = make_routine(backward_of, function, observe_backward)
    backward = define(library, f"{name}_backward", back, device)
    keep, differentiate = autograd_formula(entry, len(saved), backward)
    torch.library.register_autograd(f"{NAMESPACE}::{name}", differentiate, setup_context=keep, lib=library)
    record = recorder(entry, len(saved), routine, back, backward, device)
    return Operators(forward, routine, record, launches, library)


def refuse_updates_with_backward(entry: Entry) -> None:
    if entry.updates and entry.has_backward:
        raise ContractError(f"entry={entry.name!r} changes inputs in place, so it cannot have a backward")


def observers(launches: Launches, forward_of: Call, backward_of: Call) -> tuple[Observe, Observe]:
    """What a forward and a backward call do before they run: count, and let `watch` see."""

    def observe(call: Call, tensors: Sequence[Tensor], numbers: Sequence[Any], *, is_backward: bool) -> Any:
        if launches.watch is None:
            return None
        finish = launches.watch(is_backward, (*flatten(call.reads, tensors), *numbers))
        return None if finish is None else lambda made: finish(flatten(call.makes, made))

    def observe_forward(tensors: Sequence[Tensor], numbers: Sequence[Any]) -> Any:
        launches.forward += 1
        return observe(forward_of, tensors, numbers, is_backward=False)

    def observe_backward(tensors: Sequence[Tensor], numbers: Sequence[Any]) -> Any:
        launches.backward += 1
        return observe(backward_of, tensors, numbers, is_backward=True)

    return observe_forward, observe_backward


def free_name(wanted: str) -> str:
    """`wanted`, with a number where one process holds two kernels of one digest (two versions of a contract)."""
    taken = getattr(torch.ops, NAMESPACE)
    names = itertools.chain([wanted], (f"{wanted}_{number}" for number in itertools.count(2)))
    return next(name for name in names if not hasattr(taken, name))


def define(library: torch.library.Library, name: str, routine: Routine, device: str) -> Callable[..., Any]:
    library.define(name + routine.call.schema(), tags=(torch.Tag.pt2_compliant_tag,))  # type: ignore[no-untyped-call]
    library.impl(name, routine.run, device.upper())  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"{NAMESPACE}::{name}", _fake(routine.call), lib=library)
    overload: Callable[..., Any] = getattr(getattr(torch.ops, NAMESPACE), name).default
    return overload


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
        return as_result(made)

    return trace


def _shortest(entry: Entry, routine: Routine, operator: Callable[..., Any], device: str) -> Callable[..., Any]:
    """The function itself for plain tensors when nothing is observed, else the operator.

    What the forward kept is checked again: a hook on saved tensors may give back something else than it was given.
    """
    shapes_of, n_tensors = plain_shapes(routine.call, device), len(routine.call.reads)
    positions = _positions(entry)

    def backward(*arguments: Any) -> Any:
        tensors = arguments[:n_tensors]
        shapes = None if is_observed() else shapes_of(tensors)
        if shapes is None:
            made = operator(*flatten(routine.call.reads, tensors), *arguments[n_tensors:])
            every = made if isinstance(made, list | tuple) else (made,)
            return [gradient.view(tensors[i].shape) for gradient, i in zip(every, positions, strict=True)]
        return as_result(routine.launch(routine.plan(shapes), tensors, arguments[n_tensors:]))

    return backward


def recorder(
    entry: Entry, n_saved: int, routine: Routine, back: Routine, backward: Callable[..., Any], device: str
) -> Record:
    """The routine with the operator's own autograd formula, without the dispatcher.

    `back` is what runs in the backward, and `backward` its operator, for when that is observed.
    """
    keep, differentiate = autograd_formula(entry, n_saved, _shortest(entry, back, backward, device))

    class Recorded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            n_tensors, plan = len(routine.call.reads), arguments[-1]
            made = as_result(routine.launch(plan, arguments[:n_tensors], arguments[n_tensors:-1]))
            keep(ctx, arguments[:-1], made)
            return made

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            return (*differentiate(ctx, *gradients), None)

    # Function.apply is for calls inside functorch's transforms too, and takes 2 microseconds to rule them out.
    record: Record = super(torch.autograd.Function, Recorded).apply
    return record


def _positions(entry: Entry) -> tuple[int, ...]:
    """Where the inputs stand that have a gradient, in the order in which a backward makes them."""
    return tuple(next(i for i, t in enumerate(entry.inputs) if t.name == name) for name in entry.gradients)


def autograd_formula(
    entry: Entry, n_saved: int, backward: Callable[..., Any]
) -> tuple[Callable[..., None], Callable[..., Any]]:
    """(keep, differentiate): what the forward leaves, and the gradients of every input and parameter.

    Gradients nobody asked for are computed with the rest and dropped. A missing output gradient counts as zeros.
    """
    n_inputs, n_outputs, n_parameters = len(entry.inputs), len(entry.outputs), len(entry.parameters)
    positions = _positions(entry)

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
