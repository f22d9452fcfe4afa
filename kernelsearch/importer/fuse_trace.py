"""A function and its gradients as operations of aten on symbolic shapes, and which of four kinds each shape is.

FULL: a value for every element; ROW: for each row; COLUMN: for each column; ONE: a single number. The last axis of the
largest tensor is the columns, the axes before it together the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy  # type: ignore[import-untyped]
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from kernelsearch.importer.imported import ImportedTarget
from kernelsearch.importer.noise import decompositions
from kernelsearch.spec.target import Entry, TensorSpec

FULL, ROW, COLUMN, ONE = "full", "row", "column", "one"
# Distinct, so that no two axes share a symbol, and above every size that a tracer takes for special.
TRACED_SIZES = (37, 53, 71, 89, 107, 131)


class NotFusable(Exception):
    """The function does more than the generator can write; the message says what."""


@dataclass(frozen=True)
class Trace:
    """One C function's work: the graph, what its arguments are called, and the results by name."""

    graph: fx.Graph
    inputs: tuple[TensorSpec, ...]
    results: tuple[TensorSpec, ...]
    axes: Mapping[Any, str]
    space: tuple[str, ...]

    @cached_property
    def placeholders(self) -> dict[fx.Node, TensorSpec]:
        nodes = [node for node in self.graph.nodes if node.op == "placeholder"]
        return dict(zip(nodes, self.inputs, strict=True))

    @cached_property
    def outputs(self) -> tuple[fx.Node, ...]:
        (node,) = (node for node in self.graph.nodes if node.op == "output")
        returned = node.args[0]
        return tuple(returned) if isinstance(returned, tuple | list) else (returned,)

    @cached_property
    def size(self) -> tuple[Any, Any]:
        """(rows, columns) of the space in the tracer's symbols."""
        symbols = {axis: symbol for symbol, axis in self.axes.items()}
        *leading, last = (symbols[axis] for axis in self.space)
        return sympy.Mul(*leading), last

    def kind_of_shape(self, node: fx.Node) -> str:
        """Which of the four a value of this shape may be; raises NotFusable for any other shape."""
        shape = [_expression(extent) for extent in node.meta["val"].shape]
        rows, columns = self.size
        count = sympy.Mul(*shape)
        if all(extent == 1 for extent in shape):
            return ONE
        if shape[-1] == columns and sympy.Mul(*shape[:-1]) == rows:
            return FULL
        if count == columns and shape[-1] == columns:
            return COLUMN
        if count == rows and (shape[-1] == 1 or len(shape) == len(self.space) - 1):
            return ROW
        named = [str(extent.subs(self.axes)) for extent in shape]
        raise NotFusable(f"{_name(node)} has the shape ({', '.join(named)}), which is neither whole nor a row")


def trace_entry(target: ImportedTarget, entry: Entry, *, is_backward: bool) -> Trace:
    sizes = _sizes(entry)
    given = (*entry.inputs, *entry.output_gradients()) if is_backward else entry.inputs
    if any(t.dtype != "scalar" for t in (*given, *entry.outputs)):
        raise NotFusable("a tensor of integers")
    function = target.function
    names, own_names = [t.name for t in entry.inputs], _own_names(target)

    def run(*tensors: Tensor) -> Any:
        tensors_by_name = dict(zip(names, tensors, strict=False))
        passed = {own: tensors_by_name[name] for own, name in own_names.items()}
        if not is_backward:
            return _as_tuple(function(**passed))
        leaves = {n: x.detach().requires_grad_(own_names[n] in entry.gradients) for n, x in passed.items()}
        outputs = _as_tuple(function(**leaves))
        wanted = [leaves[own] for own, name in own_names.items() if name in entry.gradients]
        return torch.autograd.grad(outputs, wanted, list(tensors[len(names) :]))

    drawn = [torch.randn(t.shape(sizes)) for t in given]
    try:
        traced = make_fx(run, decomposition_table=decompositions(), tracing_mode="symbolic")(*drawn)
    except Exception as error:  # the tracer's own troubles with somebody else's code are many
        raise NotFusable(f"it cannot be traced ({' '.join(str(error).split())[:160]})") from None
    traced.graph.eliminate_dead_code()
    results = tuple(entry.input_gradients()) if is_backward else entry.outputs
    axes = _symbols(traced.graph, given)
    space = max((t.axes for t in (*given, *results)), key=len)
    trace = Trace(traced.graph, tuple(given), results, axes, space)
    if len(set(space)) < len(space) or not space:
        raise NotFusable(f"its largest tensor has the axes ({' '.join(space)})")
    return trace


def _own_names(target: ImportedTarget) -> dict[str, str]:
    """The function's name of each tensor to the contract's."""
    instance = target.instantiate({a.name: a.minimum for a in target.entry.axes}, seed=0)
    pairs = zip(instance.argument_names(), target.imported.arguments, strict=True)
    return {own: name for own, name in pairs if name is not None}


def _sizes(entry: Entry) -> dict[str, int]:
    free = [axis for axis in entry.axes if axis.maximum > axis.minimum]
    if len(free) < len(entry.axes):
        fixed = next(axis.name for axis in entry.axes if axis not in free)
        raise NotFusable(f"the size {fixed} does not vary")
    if len(free) > len(TRACED_SIZES) or any(axis.multiple > 1 for axis in free):
        raise NotFusable("sizes that must be multiples")
    return {axis.name: size for axis, size in zip(free, TRACED_SIZES, strict=False)}


def _symbols(graph: fx.Graph, given: tuple[TensorSpec, ...]) -> dict[Any, str]:
    """The tracer's symbol of each axis."""
    found: dict[Any, str] = {}
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node, spec in zip(placeholders, given, strict=True):
        for extent, axis in zip(node.meta["val"].shape, spec.axes, strict=True):
            symbol = _expression(extent)
            if not symbol.is_Symbol or found.setdefault(symbol, axis) != axis:
                raise NotFusable(f"the size {axis} decides how it computes")
    return found


def _expression(extent: Any) -> Any:
    return extent.node.expr if isinstance(extent, torch.SymInt) else sympy.Integer(extent)


def _as_tuple(returned: Any) -> tuple[Tensor, ...]:
    return tuple(returned) if isinstance(returned, tuple | list) else (returned,)


def _name(node: fx.Node) -> str:
    return "an argument" if node.op == "placeholder" else op_name(node)


def op_name(node: fx.Node) -> str:
    """aten's name of an operation, without its overload: sum, native_layer_norm."""
    packet = getattr(node.target, "overloadpacket", None)
    return packet.__name__ if packet is not None else getattr(node.target, "__name__", "")
