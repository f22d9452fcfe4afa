"""One C function as Python calls it: what it reads and makes, the plan of a call, and the call itself.

Two ways lead to the same function. `Routine.run` is what an operator does: anyone can call an operator with anything,
so it checks dtype, layout and shapes before it hands out addresses. `Routine.launch` checks nothing: it is for a caller
that has done the same with `plain_shapes` and holds the plan of those shapes.
"""

import itertools
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
PlainShapes = Callable[[Sequence[Tensor]], Shapes | None]


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


# From which tensor that is read, with which shape and dtype; None: with its own, the cheapest tensor to make.
Make = tuple[int, tuple[int, ...] | None, torch.dtype]


class Plan(NamedTuple):
    """A call of given shapes: the axes' sizes, and how to make each result."""

    sizes: list[int]
    makes: list[Make]


@dataclass(frozen=True)
class Routine:
    """One C function. `plan` refuses shapes that disagree and remembers the others; `run` is an operator's."""

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
    updated = [i for i, t in enumerate(call.reads) if t.name in call.updates]
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

    n_tensors, dtypes = len(call.reads), [call.torch_dtype(t) for t in call.reads]
    find_plan = lru_cache(maxsize=REMEMBERED_SHAPES)(_planner(call))

    def run(*arguments: Any) -> Any:
        tensors = arguments[:n_tensors]
        for tensor, dtype in zip(tensors, dtypes, strict=True):
            if tensor.dtype is not dtype or not tensor.is_contiguous():
                raise ValueError(f"kernelsearch operator {call.schema()}: give contiguous tensors of {dtypes}")
        return as_result(launch(find_plan(tuple([t.shape for t in tensors])), tensors, arguments[n_tensors:]))

    return Routine(call, find_plan, launch, run)


def _planner(call: Call) -> Callable[[Shapes], Plan]:
    """A function from the shapes read to the axes' sizes and the tensors to make; refuses shapes that disagree."""
    sources = call.axis_sources()
    dtypes = [call.torch_dtype(t) for t in call.reads]

    def make(
        shapes: Shapes, shape: tuple[int, ...], dtype: torch.dtype
    ) -> tuple[int, tuple[int, ...] | None, torch.dtype]:
        like = [i for i, read in enumerate(shapes) if tuple(read) == shape and dtypes[i] is dtype]
        return (like[0], None, dtype) if like else (0, shape, dtype)

    def plan(shapes: Shapes) -> Plan:
        ranks = [len(shape) for shape in shapes]
        if ranks != [len(t.axes) for t in call.reads]:
            raise ValueError(f"shapes={shapes}: expected {[t.axes for t in call.reads]}")
        sizes = [shapes[i][d] for i, d in sources]
        bound = dict(zip(call.axes, sizes, strict=True))
        for tensor, shape in zip(call.reads, shapes, strict=True):
            if tuple(shape) != tensor.shape(bound):
                raise ValueError(f"{tensor.name}: shape {tuple(shape)}, but the other tensors say {bound}")
        return Plan(sizes, [make(shapes, t.shape(bound), call.torch_dtype(t)) for t in call.makes])

    return plan


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
