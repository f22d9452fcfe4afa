"""Small wrong changes of a Triton kernel, found in the syntax tree of its `@triton.jit` functions.

Masks and their fill values, rounding of grids, axes of reductions, casts, accumulators, atomics: where kernels for GPUs
go wrong besides what operators on arithmetic find. What the host function does is left alone.
"""

import ast
import re
from collections.abc import Callable, Iterator
from typing import TypeGuard

from kernelsearch.scorecard.edits import Edit

Found = Iterator[tuple[ast.AST, str]]


class MethodCall(ast.Call):
    """A call of an attribute, `tl.load(...)`: for the type checker only."""

    func: ast.Attribute


RELATIONS = {"Lt": "<=", "LtE": "<", "Gt": ">=", "GtE": ">", "Eq": "!=", "NotEq": "=="}
ARITHMETIC = {"Add": "-", "Sub": "+", "Mult": "+", "Div": "*", "FloorDiv": "*", "Mod": "//", "BitAnd": "|"}
NARROWER = {"tl.float32": "tl.bfloat16", "tl.float16": "tl.bfloat16", "tl.int64": "tl.int32"}
OTHER_REDUCTION = {"sum": "max", "max": "sum", "min": "max", "maximum": "minimum", "minimum": "maximum"}


def find_triton_edits(source: str) -> list[Edit]:
    """Every change the operators find, in order of operator and place."""
    starts = _line_starts(source)
    found = set()
    for function in (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and _is_kernel(n)):
        for node in (inner for statement in function.body for inner in ast.walk(statement)):
            for name, operator in OPERATORS.items():
                for place, text in operator(node):
                    start, end = _span(place, starts)
                    if source.encode()[start:end].decode() != text:
                        found.add(Edit(name, start, end, text, function.name))
    return sorted(found, key=lambda e: (e.operator, e.start, e.end, e.text))


def mask_dropped(node: ast.AST) -> Found:
    if _is_call(node, "load", "store", "atomic_add"):
        yield node, _without(node, "mask", "other")


def fill_dropped(node: ast.AST) -> Found:
    if _is_call(node, "load"):
        yield node, _without(node, "other")


def fill_changed(node: ast.AST) -> Found:
    """The neutral element of another reduction: 0 for a maximum, next to minus infinity for a sum."""
    if _is_call(node, "load"):
        for keyword in node.keywords:
            if keyword.arg == "other":
                is_extreme = re.search(r"inf|e\+?[23]\d", ast.unparse(keyword.value))
                yield keyword.value, "0.0" if is_extreme else "-3e+38"


def where_swapped(node: ast.AST) -> Found:
    if _is_call(node, "where") and len(node.args) == 3:
        condition, yes, no = (ast.unparse(argument) for argument in node.args)
        yield node, f"{ast.unparse(node.func)}({condition}, {no}, {yes})"


def division_rounded_down(node: ast.AST) -> Found:
    if _is_call(node, "cdiv"):
        yield node, " // ".join(f"({ast.unparse(argument)})" for argument in node.args)


def axis_changed(node: ast.AST) -> Found:
    if _is_call(node, "sum", "max", "min", "program_id"):
        places = [k.value for k in node.keywords if k.arg == "axis"] or list(node.args[-1:])
        yield from ((p, str(1 - p.value)) for p in places if isinstance(p, ast.Constant) and p.value in (0, 1))


def reduction_swapped(node: ast.AST) -> Found:
    if _is_call(node, *OTHER_REDUCTION):
        yield node.func, f"{ast.unparse(node.func.value)}.{OTHER_REDUCTION[node.func.attr]}"


def dtype_narrowed(node: ast.AST) -> Found:
    if isinstance(node, ast.Attribute) and ast.unparse(node) in NARROWER:
        yield node, NARROWER[ast.unparse(node)]


def product_in_tf32(node: ast.AST) -> Found:
    if _is_call(node, "dot"):
        yield node, f"{_without(node, 'input_precision', 'allow_tf32')[:-1]}, input_precision='tf32')"


def atomic_dropped(node: ast.AST) -> Found:
    if _is_call(node, "atomic_add"):
        yield node.func, "tl.store"


def relation_swapped(node: ast.AST) -> Found:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]).__name__ in RELATIONS:
        other = RELATIONS[type(node.ops[0]).__name__]
        yield node, f"{ast.unparse(node.left)} {other} {ast.unparse(node.comparators[0])}"


def arithmetic_swapped(node: ast.AST) -> Found:
    if isinstance(node, ast.BinOp) and type(node.op).__name__ in ARITHMETIC:
        other = ARITHMETIC[type(node.op).__name__]
        yield node, f"(({ast.unparse(node.left)}) {other} ({ast.unparse(node.right)}))"


def operand_dropped(node: ast.AST) -> Found:
    if isinstance(node, ast.BinOp):
        yield node, f"({ast.unparse(node.left)})"
        if isinstance(node.op, ast.Add | ast.Mult):
            yield node, f"({ast.unparse(node.right)})"


def constant_changed(node: ast.AST) -> Found:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        yield node, f"{node.value + 1}" if isinstance(node.value, int) else f"{node.value * 2 or 1.0}"


def accumulation_dropped(node: ast.AST) -> Found:
    if isinstance(node, ast.AugAssign):
        yield node, f"{ast.unparse(node.target)} = {ast.unparse(node.value)}"


def statement_dropped(node: ast.AST) -> Found:
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield node, "pass"


def loop_ends_early(node: ast.AST) -> Found:
    if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and node.iter.args:
        bound = node.iter.args[min(1, len(node.iter.args) - 1)]
        yield bound, f"{ast.unparse(bound)} - 1"


OPERATORS: dict[str, Callable[[ast.AST], Found]] = {
    operator.__name__.replace("_", " "): operator
    for operator in (
        mask_dropped,
        fill_dropped,
        fill_changed,
        where_swapped,
        division_rounded_down,
        axis_changed,
        reduction_swapped,
        dtype_narrowed,
        product_in_tf32,
        atomic_dropped,
        relation_swapped,
        arithmetic_swapped,
        operand_dropped,
        constant_changed,
        accumulation_dropped,
        statement_dropped,
        loop_ends_early,
    )
}


def _is_kernel(function: ast.FunctionDef) -> bool:
    return any("triton.jit" in ast.unparse(decorator) for decorator in function.decorator_list)


def _is_call(node: ast.AST, *names: str) -> TypeGuard[MethodCall]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names


def _without(call: ast.Call, *names: str) -> str:
    """The call's text without these keyword arguments."""
    kept = [k for k in call.keywords if k.arg not in names]
    return ast.unparse(ast.Call(call.func, call.args, kept))


def _line_starts(source: str) -> list[int]:
    """Byte offset of each line."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _span(node: ast.AST, starts: list[int]) -> tuple[int, int]:
    """Bytes that a node covers; the tree counts lines from 1 and columns in bytes."""
    assert isinstance(node, ast.expr | ast.stmt) and node.end_lineno is not None and node.end_col_offset is not None
    return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
