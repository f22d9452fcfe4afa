"""One function of a kernel as Python calls it: what it reads and makes, the plan of a call, and the call itself.

Two ways lead to the same function. `Routine.run` is what an operator does: anyone can call an operator with anything,
so it checks dtype, layout and shapes before it hands out addresses. `Routine.launch` checks nothing: it is for a caller
that has done the same with `plain_shapes` and holds the plan of those shapes.

A routine takes tensors with more axes than the contract says: the first ones then stand for its first axis, (B, T, C)
for (N, C), and results that have this axis are made with those. Making views instead costs a microsecond each, and a
node of the graph. It means the same only where that axis is a batch, so an op.py names such entries in LEADING, and
no other call gets this far. Operators themselves have the contract's axes only.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter as TensorParameter

from kernelsearch.errors import ContractError
from kernelsearch.spec import Entry, Parameter, TensorSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int64": torch.int64}
SCHEMA_TYPES = {"int64": "SymInt", "float": "float"}
REMEMBERED_SHAPES = 256

Shapes = tuple[Sequence[int], ...]
# Given a call's tensors and numbers, before it runs: what to do with the results, or None.
Observe = Callable[[Sequence[Tensor], Sequence[Any]], Callable[[list[Tensor]], None] | None]
# An axis of the contract and the extents that stand for it.
Leading = tuple[str, tuple[int, ...]]
PlainShapes = Callable[[Sequence[Tensor]], Shapes | None]


@dataclass(frozen=True)
class Call:
    """What one function reads, makes and changes in place; `dtype` is what "scalar" stands for."""

    reads: tuple[TensorSpec, ...]
    makes: tuple[TensorSpec, ...]
    updates: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    axes: tuple[str, ...]
    dtype: str

    def torch_dtype(self, spec: TensorSpec) -> torch.dtype:
        return DTYPES[spec.element(self.dtype)]

    @property
    def updated(self) -> tuple[int, ...]:
        """The positions of the tensors that are changed in place."""
        return tuple(i for i, t in enumerate(self.reads) if t.name in self.updates)

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


# From which tensor that is read, with which shape and dtype; None: with its own, the cheapest tensor to make.
Make = tuple[int, tuple[int, ...] | None, torch.dtype]


class Plan(NamedTuple):
    """A call of given shapes: the axes' sizes, and how to make each result."""

    sizes: list[int]
    makes: list[Make]


@dataclass(frozen=True)
class Routine:
    """One function. `plan` refuses shapes that disagree and remembers the others; `run` is an operator's."""

    call: Call
    plan: Callable[[Shapes], Plan]
    launch: Callable[[Plan, Sequence[Tensor], Sequence[Any]], list[Tensor]]
    run: Callable[..., Any]


def forward_call(entry: Entry, saved: tuple[TensorSpec, ...], dtype: str) -> Call:
    axes = tuple(axis.name for axis in entry.axes)
    return Call(entry.inputs, (*entry.outputs, *saved), entry.updates, entry.parameters, axes, dtype)


def backward_call(entry: Entry, saved: tuple[TensorSpec, ...], dtype: str) -> Call:
    axes = tuple(axis.name for axis in entry.axes)
    reads = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
    return Call(reads, entry.input_gradients(), (), entry.parameters, axes, dtype)


def make_routine(call: Call, function: Callable[..., None], observe: Observe) -> Routine:
    """The routine of a C function, which takes addresses, sizes and numbers."""
    updated = call.updated
    empty_like = torch.empty_like

    def launch(plan: Plan, tensors: Sequence[Tensor], numbers: Sequence[Any]) -> list[Tensor]:
        made = [
            empty_like(tensors[like]) if shape is None else tensors[like].new_empty(shape, dtype=dtype)
            for like, shape, dtype in plan.makes
        ]
        addresses = [tensor.data_ptr() for tensor in tensors]
        addresses += [tensor.data_ptr() for tensor in made]
        finish = observe(tensors, numbers)
        function(*addresses, *plan.sizes, *numbers)
        if updated:
            torch.autograd.graph.increment_version([tensors[index] for index in updated])
        if finish is not None:
            finish(made)
        return made

    return checked(call, launch)


def checked(call: Call, launch: Callable[[Plan, Sequence[Tensor], Sequence[Any]], list[Tensor]]) -> Routine:
    """A launch with the plans of its call, and what an operator checks before it."""
    n_tensors, dtypes = len(call.reads), [call.torch_dtype(t) for t in call.reads]
    ranks = [len(t.axes) for t in call.reads]
    find_plan = lru_cache(maxsize=REMEMBERED_SHAPES)(_planner(call))

    def run(*arguments: Any) -> Any:
        tensors = arguments[:n_tensors]
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            if tensor.dtype is not dtype or not tensor.is_contiguous():
                raise ValueError(f"kernelsearch operator {call.schema()}: give contiguous tensors of {dtypes}")
        shapes = tuple([t.shape for t in tensors])
        if [len(shape) for shape in shapes] != ranks:
            raise ValueError(f"shapes={shapes}: expected {[t.axes for t in call.reads]}")
        return as_result(launch(find_plan(shapes), tensors, arguments[n_tensors:]))

    return Routine(call, find_plan, launch, run)


def _planner(call: Call) -> Callable[[Shapes], Plan]:
    """A function from the shapes read to the axes' sizes and the tensors to make; refuses shapes that disagree."""
    sources = call.axis_sources()
    dtypes = [call.torch_dtype(t) for t in call.reads]

    def make(shapes: Shapes, shape: tuple[int, ...], dtype: torch.dtype) -> Make:
        like = [i for i, read in enumerate(shapes) if tuple(read) == shape and dtypes[i] is dtype]
        return (like[0], None, dtype) if like else (0, shape, dtype)

    def plan(given: Shapes) -> Plan:
        shapes, leading, wrong = merge_leading(call.reads, given)
        if wrong is not None:
            raise ValueError(f"{wrong}: shapes={given}, expected {[t.axes for t in call.reads]}")
        sizes = [shapes[i][d] for i, d in sources]
        bound = dict(zip(call.axes, sizes, strict=True))
        for tensor, shape in zip(call.reads, shapes, strict=True):
            if tuple(shape) != tensor.shape(bound):
                raise ValueError(f"{tensor.name}: shape {tuple(shape)}, but the other tensors say {bound}")
        makes = [make(given, lead(t, t.shape(bound), leading), call.torch_dtype(t)) for t in call.makes]
        return Plan(sizes, makes)

    return plan


def merge_leading(specs: Sequence[TensorSpec], shapes: Shapes) -> tuple[Shapes, Leading | None, str | None]:
    """(the shapes in the contract's axes, which leading axes stand for one, the name of a tensor that cannot be).

    Leading axes are the same wherever they are; besides those tensors only a list may have that axis as it is.
    """
    leading: Leading | None = None
    first = ""
    for spec, shape in zip(specs, shapes, strict=True):
        extra = len(shape) - len(spec.axes)
        if extra == 0:
            continue
        if extra < 0 or not spec.axes:
            return shapes, None, spec.name
        found = (spec.axes[0], tuple(shape[: extra + 1]))
        if leading is None:
            leading, first = found, spec.name
        elif leading != found:
            return shapes, None, spec.name
    if leading is None:
        return shapes, None, None
    for spec, shape in zip(specs, shapes, strict=True):
        if len(shape) == len(spec.axes) > 1 and spec.axes[0] == leading[0]:
            return shapes, None, first
    merged = math.prod(leading[1])
    flat = [
        shape if len(shape) == len(spec.axes) else (merged, *shape[len(leading[1]) :])
        for spec, shape in zip(specs, shapes, strict=True)
    ]
    return tuple(flat), leading, None


def lead(spec: TensorSpec, shape: Sequence[int], leading: Leading | None) -> tuple[int, ...]:
    """The shape with what stands for its first axis."""
    if leading is None or not spec.axes or spec.axes[0] != leading[0]:
        return tuple(shape)
    return (*leading[1], *shape[1:])


def flatten(specs: Sequence[TensorSpec], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views with the contract's axes."""
    return [
        tensor if tensor.dim() == len(spec.axes) else tensor.flatten(0, tensor.dim() - len(spec.axes))
        for spec, tensor in zip(specs, tensors, strict=True)
    ]


def as_result(made: Sequence[Tensor]) -> Any:
    """What torch.library expects for no, one or several results."""
    if len(made) > 1:
        return tuple(made)
    return made[0] if made else None


def plain_shapes(call: Call, device: str) -> PlainShapes:
    """A function from a call's tensors to their shapes, or None where the C function could not take them as they are.

    Not plain: another dtype or device, gaps or another order in memory, and a subclass, which sees operators only.
    """
    dtypes = [call.torch_dtype(t) for t in call.reads]
    is_there = attrgetter(f"is_{device}")

    def shapes(tensors: Sequence[Tensor]) -> Shapes | None:
        if len(tensors) != len(dtypes):
            return None
        found = []
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            kind = type(tensor)
            if (
                (kind is not Tensor and kind is not TensorParameter)
                or tensor.dtype is not dtype
                or not tensor.is_contiguous()
                or not is_there(tensor)
            ):
                return None
            found.append(tensor.shape)
        return tuple(found)

    return shapes


def is_observed() -> bool:
    """Whether a tracer, mode, transform or profiler must see operators, so that no call may pass them by."""
    return bool(
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._autograd._profiler_enabled()
    )
