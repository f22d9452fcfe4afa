"""The values of a traced function in C++: what each is made of, which kind it is, and when it is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from torch import fx

from kernelsearch.importer.fuse_ops import DEAR, expression, literal
from kernelsearch.importer.fuse_trace import COLUMN, FULL, ONE, ROW, NotFusable, Trace, op_name

SAME_VALUE = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "expand",
        "unsqueeze",
        "squeeze",
        "clone",
        "alias",
        "detach",
        "_to_copy",
        "contiguous",
        "lift_fresh_copy",
        "broadcast_in_dim",
        "convert_element_type",
        "_reshape_alias",
    ]
)
FILLED = {"ones_like": 1.0, "zeros_like": 0.0, "new_zeros": 0.0, "new_ones": 1.0, "zeros": 0.0, "ones": 1.0}
FILLED_WITH = ("full_like", "full", "new_full", "scalar_tensor")
ORDER = {ONE: 0, ROW: 1, COLUMN: 1, FULL: 2}


@dataclass
class Value:
    """What a node is in C++: kind, the sweep in which it is known, and its expression over other values.

    `is_late` values exist only after all rows; a `reduction` sums `over` every element or every row. `load` is the
    pointer that an argument is read from, `number` the place in the order of making.
    """

    name: str
    kind: str
    stage: int
    text: str
    needs: tuple["Value", ...] = ()
    reduction: str | None = None
    over: str = ""
    number: int = 0
    is_late: bool = False
    is_dear: bool = False
    load: str | None = None


@dataclass
class Program:
    """One C function on its way: the values of its graph, each expression once."""

    trace: Trace
    is_flat: bool
    values: dict[fx.Node, Value] = field(default_factory=dict)
    known: dict[Any, Value] = field(default_factory=dict)

    def build(self) -> None:
        for node in self.trace.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._argument(node)
            elif node.op == "call_function" and _is_tensor(node):
                self.values[node] = self._operation(node)

    def _argument(self, node: fx.Node) -> Value:
        spec, kind = self.trace.placeholders[node], self.trace.kind_of_shape(node)
        return Value(f"{spec.name}_", kind, 0, "", load=spec.name, number=len(self.values))

    def _operation(self, node: fx.Node) -> Value:
        args: tuple[Any, ...] = node.args
        name = op_name(node).removesuffix("_")
        if str(node.meta["val"].dtype) not in ("torch.float32", "torch.bool"):
            raise NotFusable(f"{name} makes {node.meta['val'].dtype}")
        if op_name(node) != name and (args[0].op == "placeholder" or len(args[0].users) > 1):
            raise NotFusable(f"{name} changes a value in place that is used elsewhere")
        if name in SAME_VALUE:
            self.trace.kind_of_shape(node)
            return self.values[args[0]]
        if name in ("sum", "mean", "amax", "amin", "var"):
            return self._reduce(node, name)
        if name in FILLED or name in FILLED_WITH:
            filled = FILLED[name] if name in FILLED else args[-1]
            return self._value(node, ONE, self._constant(filled), ())
        arguments = [a for a in args if a is not None or name == "clamp"]
        needs = tuple(self.values[a] for a in arguments if isinstance(a, fx.Node) and a in self.values)
        texts = [self._operand(a, name) for a in _plain(arguments, name)]
        self.trace.kind_of_shape(node)
        return self._value(node, _widest(needs), expression(name, texts, tuple(args), node.kwargs), needs, name)

    def _value(
        self,
        node: fx.Node,
        kind: str,
        text: str,
        needs: tuple[Value, ...],
        name: str = "",
        how: str | None = None,
        over: str = "",
    ) -> Value:
        stage = max((v.stage for v in needs), default=0) + (how is not None and kind == ROW)
        is_late = any(v.is_late for v in needs) or (how is not None and kind in (COLUMN, ONE))
        if any(v.is_late for v in needs) and kind in (FULL, ROW):
            raise NotFusable("every element needs a sum over rows")
        key = (text, how, kind)
        if key not in self.known:
            is_dear = name in DEAR and kind == FULL
            number = len(self.values) + len(self.known)
            free = _free(node.name, self)
            self.known[key] = Value(free, kind, stage, text, needs, how, over, number, is_late, is_dear)
        return self.known[key]

    def _reduce(self, node: fx.Node, name: str) -> Value:
        args: tuple[Any, ...] = node.args
        source: fx.Node = args[0]
        value, shape = self.values[source], self.trace.kind_of_shape(source)
        rank = len(source.meta["val"].shape)
        given = args[1] if len(args) > 1 else None
        dims = {d % rank for d in (given if isinstance(given, list | tuple) else range(rank))} or set(range(rank))
        kind = self._reduced_kind(shape, dims, rank)
        if value.is_late or (name in ("amax", "amin", "var") and kind != ROW):
            raise NotFusable(f"{name} over rows")
        terms = {ROW: "C", COLUMN: "R", ONE: "T" if shape == FULL else "R"}[kind]
        if name == "var":
            return self._variance(node, value, float((*args, 1)[2]))
        total = self._value(node, kind, value.name, (value,), how="sum" if name == "mean" else name, over=shape)
        if name != "mean":
            return total
        return self._value(node, kind, f"({total.name} / broadcast(static_cast<float>({terms})))", (total,))

    def _variance(self, node: fx.Node, value: Value, correction: float) -> Value:
        """The mean first, so that nothing large cancels."""
        total = self._value(node, ROW, value.name, (value,), how="sum", over=FULL)
        mean = self._value(node, ROW, f"({total.name} / broadcast(static_cast<float>(C)))", (total,))
        away = self._value(node, FULL, f"({value.name} - {mean.name})", (value, mean))
        square = self._value(node, FULL, f"({away.name} * {away.name})", (away,))
        squares = self._value(node, ROW, square.name, (square,), how="sum", over=FULL)
        terms = f"broadcast(static_cast<float>(C) - {correction!r}f)"
        return self._value(node, ROW, f"({squares.name} / {terms})", (squares,))

    def _reduced_kind(self, shape: str, dims: set[int], rank: int) -> str:
        if shape == FULL and dims == {rank - 1} and rank > 1:
            return ROW
        if shape == FULL and dims == set(range(rank - 1)):
            return COLUMN
        if shape in (FULL, ROW) and (dims == set(range(rank)) or (shape == ROW and rank - 1 in dims)):
            return ONE
        if shape == ROW and dims == set(range(rank - 1)):
            return ONE
        raise NotFusable("a sum over some axes of the rows, or of columns alone")

    def _operand(self, argument: Any, name: str) -> str:
        if isinstance(argument, fx.Node) and argument in self.values:
            return self.values[argument].name
        if not isinstance(argument, int | float | fx.Node):
            raise NotFusable(f"the operation {name} is none on elements or rows that can be written")
        return self._constant(argument)

    def _constant(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return f"broadcast(static_cast<float>({self._number(value)}))"
        return literal(value)

    def _number(self, node: Any) -> str:
        """A size, or arithmetic of sizes, as a C++ double."""
        if not isinstance(node, fx.Node):
            return repr(float(node))
        name = op_name(node)
        if name == "sym_size":
            symbol = node.meta["val"].node.expr
            if symbol == self.trace.size[1] and not self.is_flat:
                return "C"
            if symbol in self.trace.axes:
                return f"static_cast<double>({self.trace.axes[symbol]})"
        if name in ("sym_float", "_sym_float"):
            return self._number(node.args[0])
        signs = {"mul": "*", "add": "+", "sub": "-", "truediv": "/"}
        if name in signs:
            return f"({self._number(node.args[0])} {signs[name]} {self._number(node.args[1])})"
        raise NotFusable(f"the size {name}")


def _plain(arguments: Sequence[Any], name: str) -> list[Any]:
    """The arguments that become C++ values: all, but of powers and clamps the tensor alone."""
    return list(arguments[:1] if name in ("pow", "clamp", "hardtanh") else arguments)


def _is_tensor(node: fx.Node) -> bool:
    return hasattr(node.meta.get("val"), "shape")


def _widest(needs: tuple[Value, ...]) -> str:
    kinds = {value.kind for value in needs}
    if {ROW, COLUMN} <= kinds:
        return FULL
    return max(kinds, key=lambda kind: ORDER[kind], default=ONE)


def _free(name: str, program: Program) -> str:
    taken = {value.name for value in program.known.values()} | {value.name for value in program.values.values()}
    base = name.rstrip("_")
    return next(
        wanted for number in count(1) if (wanted := f"{base}_" if number == 1 else f"{base}_{number}_") not in taken
    )
