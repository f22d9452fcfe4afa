"""The verified domain of one kernel's entry: for which calls the judge's answer holds.

Plain Python on shapes, so that torch.compile can trace it. A reason never holds what was
given, so that counts by reason stay few.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kernelsearch.dispatch.call import Call, Shapes, merge_leading
from kernelsearch.errors import ContractError
from kernelsearch.spec import Axis, Entry

Value = Callable[[Mapping[str, int]], int]

_BINARY: dict[type, Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
_COMPARE: dict[type, Callable[[int, int], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}


@dataclass(frozen=True)
class TensorRule:
    """What one input must be. `is_differentiable` is whether the kernel can return its gradient."""

    name: str
    dtype: torch.dtype
    is_updated: bool
    is_differentiable: bool


def tensor_rules(entry: Entry, call: Call) -> tuple[TensorRule, ...]:
    return tuple(
        TensorRule(t.name, call.torch_dtype(t), t.name in entry.updates, t.name in entry.gradients)
        for t in entry.inputs
    )


def tensor_refusal(rules: Sequence[TensorRule], device: str) -> Callable[[Sequence[Tensor]], str | None]:
    """A function from a call's tensors to why the kernel cannot take them, or None; it ignores shapes."""

    def refuse(tensors: Sequence[Tensor]) -> str | None:
        if len(tensors) != len(rules):
            return "another number of tensors"
        for tensor, rule in zip(tensors, rules, strict=True):
            if tensor.dtype is not rule.dtype:
                return f"{rule.name} has another dtype"
            if tensor.device.type != device:
                return f"{rule.name} is on another device"
            if rule.is_updated and not tensor.is_contiguous():
                return f"{rule.name} is updated in place and not contiguous"
            if not rule.is_differentiable and tensor.requires_grad and torch.is_grad_enabled():
                return f"{rule.name} needs a gradient that the kernel does not have"
        return None

    return refuse


def shape_refusal(
    entry: Entry,
    call: Call,
    domain: Mapping[str, tuple[int, int]],
    constraints: Sequence[str],
    *,
    merges_leading: bool = False,
) -> Callable[[Shapes], str | None]:
    """A function from a call's shapes to why they are outside the verified domain, or None.

    `merges_leading` is for entries whose first axis is a batch, in which the function never looks from one to another.
    A constraint that names an axis this entry lacks is about another entry of the target and is left out.
    """
    axes = {axis.name for axis in entry.axes}
    missing = sorted(axes - set(domain))
    if missing:
        raise ContractError(f"entry={entry.name!r}: the verdict's domain says nothing about the axes {missing}")
    tensors = [(t.axes, f"{t.name} has another shape") for t in entry.inputs]
    sources = list(zip(call.axes, call.axis_sources(), strict=True))
    refuse_sizes = _size_refusal(
        [(axis, *domain[axis.name]) for axis in entry.axes],
        [(compile_constraint(text), f"{text} does not hold") for text in constraints if constraint_names(text) <= axes],
    )

    def refuse(given: Shapes) -> str | None:
        for shape, (names, reason) in zip(given, tensors, strict=True):
            if not merges_leading and len(shape) != len(names):
                return reason
        shapes, _, wrong = merge_leading(entry.inputs, given)
        if wrong is not None:
            return f"{wrong} has another shape"
        sizes = {name: shapes[i][d] for name, (i, d) in sources}
        for shape, (names, reason) in zip(shapes, tensors, strict=True):
            if any(extent != sizes[name] for extent, name in zip(shape, names, strict=True)):
                return reason
        return refuse_sizes(sizes)

    return refuse


def _size_refusal(
    ranges: Sequence[tuple[Axis, int, int]], relations: Sequence[tuple[Value, str]]
) -> Callable[[Mapping[str, int]], str | None]:
    limits = [(axis, low, high, f"axis {axis.name} outside the verified {low}..{high}") for axis, low, high in ranges]

    def refuse(sizes: Mapping[str, int]) -> str | None:
        for axis, low, high, reason in limits:
            if not (low <= sizes[axis.name] <= high and axis.admits(sizes[axis.name])):
                return reason
        for holds, reason in relations:
            if not holds(sizes):
                return reason
        return None

    return refuse


def constraint_names(text: str) -> set[str]:
    return {node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)}


def compile_constraint(text: str) -> Value:
    """The relation as a function of the sizes: integers, names, + - * // %, comparisons, `and`, `or`, `not`, `if`."""
    return _compile(_parse(text).body, text)


def _parse(text: str) -> ast.Expression:
    try:
        return ast.parse(text, mode="eval")
    except SyntaxError:
        raise ContractError(f"constraint={text!r} is not an expression") from None


def _compile(node: ast.expr, text: str) -> Value:
    match node:
        case ast.Constant(value=int(value)):
            return lambda sizes: value
        case ast.Name(id=name):
            return lambda sizes: sizes[name]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand, text)
            return lambda sizes: not inner(sizes)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, text)
            return lambda sizes: -inner(sizes)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _join(_BINARY[type(op)], _compile(left, text), _compile(right, text))
        case ast.BoolOp(op=op, values=[first, *rest]):
            parts = [_compile(value, text) for value in (first, *rest)]
            if isinstance(op, ast.And):
                return lambda sizes: all(part(sizes) for part in parts)
            return lambda sizes: any(part(sizes) for part in parts)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return _join(_COMPARE[type(op)], _compile(left, text), _compile(right, text))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            holds, then, other = (_compile(part, text) for part in (test, body, orelse))
            return lambda sizes: then(sizes) if holds(sizes) else other(sizes)
    raise ContractError(f"constraint={text!r}: {ast.unparse(node)!r} is not allowed; relate sizes by + - * // % and ==")


def _join(operation: Callable[[int, int], int], left: Value, right: Value) -> Value:
    return lambda sizes: operation(left(sizes), right(sizes))
