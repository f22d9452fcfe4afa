"""Operators on C++: each looks at one node of the syntax tree and yields what to replace, and by what.

Whether a change matters is not known here: the compiler and the judge find out. `mutant::keep_bits` rounds to fewer
bits of significand (8: bfloat16, 11: tf32).
"""

import re
from collections.abc import Callable, Iterator

from kernelsearch.scorecard.syntax import (
    Node,
    child_of,
    indices_of,
    is_loop_header,
    is_within,
    loop_bound,
    loop_variables,
    operator_of,
    operator_token,
    pointer_parameters,
    text_of,
    walk,
)

RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
ARITHMETIC = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/"}
ASSIGNMENTS = {"+=": "=", "-=": "+=", "*=": "=", "=": "+="}
OPPOSITE = {"min": "max", "max": "min"}
COMMUTATIVE = {"min", "max", "std::min", "std::max", "fma", "std::fma"}
LOADS = re.compile(r"(ks::)?(load\w*|to_float|value)")
CORRECTIONS = re.compile(r"(std::|ks::)?(sqrt|exp|exp2|log|tanh)f?")

Found = Iterator[tuple[Node, str]]


def relation_swapped(node: Node) -> Found:
    if node.type == "binary_expression" and operator_of(node) in RELATIONS:
        yield operator_token(node), RELATIONS[operator_of(node)]


def arithmetic_swapped(node: Node) -> Found:
    if node.type == "binary_expression" and operator_of(node) in ARITHMETIC:
        yield operator_token(node), ARITHMETIC[operator_of(node)]


def operand_dropped(node: Node) -> Found:
    if node.type != "binary_expression" or operator_of(node) not in "+-*/":
        return
    yield node, text_of(child_of(node, "left"))
    if operator_of(node) in "+*":
        yield node, text_of(child_of(node, "right"))


def loop_ends_early(node: Node) -> Found:
    bound = loop_bound(node)
    if bound is not None:
        yield bound, f"({text_of(bound)}) - 1"


def tail_dropped(node: Node) -> Found:
    bound = loop_bound(node)
    if bound is not None:
        yield bound, f"({text_of(bound)}) / 8 * 8"


def loop_starts_late(node: Node) -> Found:
    start = node.child_by_field_name("initializer") if node.type == "for_statement" else None
    for child in walk(start) if start is not None else ():
        if child.type == "init_declarator":
            value = child_of(child, "value")
            yield value, f"{text_of(value)} + 1"


def index_off_by_one(node: Node) -> Found:
    for index in indices_of(node):
        yield index, f"{text_of(index)} + 1"


def index_fixed(node: Node) -> Found:
    for index in indices_of(node):
        yield index, "0"


def constant_changed(node: Node) -> Found:
    if node.type != "number_literal" or (node.parent is not None and node.parent.type == "array_declarator"):
        return
    text = text_of(node)
    if not re.search(r"[.p]|e-", text):
        yield node, f"({text} + 1)"
    elif float.fromhex(text.rstrip("fF")) if "x" in text else float(text.rstrip("fF")):
        yield node, f"({text} * 2)"
    else:
        yield node, "1.0f"


def constant_off_by_a_percent(node: Node) -> Found:
    if node.type == "number_literal" and re.search(r"[.p]|e-", text_of(node)):
        yield node, f"({text_of(node)} * 1.01f)"


def result_off_by_a_percent(node: Node) -> Found:
    """Of a returned or stored number; where it is an integer, a change that does not compile or does not matter."""
    if node.type == "call_expression" and re.fullmatch(r"store\w*|write", text_of(child_of(node, "function"))):
        values = child_of(node, "arguments").named_children
        if len(values) > 1:
            yield values[1], f"({text_of(values[1])}) * 1.01f"
    if node.type == "assignment_expression" and child_of(node, "left").type == "subscript_expression":
        yield child_of(node, "right"), f"({text_of(child_of(node, 'right'))}) * 1.01f"


def statement_dropped(node: Node) -> Found:
    if node.type == "expression_statement" and node.named_children:
        yield node, ";"


def branch_dropped(node: Node) -> Found:
    if node.type == "if_statement" and node.child_by_field_name("alternative") is None:
        yield node, ";"


def condition_negated(node: Node) -> Found:
    if node.type == "conditional_expression":
        condition = child_of(node, "condition")
        yield condition, f"!({text_of(condition)})"
    if node.type == "if_statement":
        for value in child_of(node, "condition").named_children[:1]:
            yield value, f"!({text_of(value)})"


def extreme_swapped(node: Node) -> Found:
    if node.type == "call_expression":
        name = child_of(node, "function")
        short = re.sub(r"^\w+::|<.*>$", "", text_of(name))
        if short in OPPOSITE:
            yield name, re.sub(rf"\b{short}\b", OPPOSITE[short], text_of(name))


def arguments_swapped(node: Node) -> Found:
    if node.type != "call_expression" or text_of(child_of(node, "function")).split("<")[0] in COMMUTATIVE:
        return
    arguments = child_of(node, "arguments")
    texts = [text_of(a) for a in arguments.named_children]
    for i in range(len(texts) - 1):
        swapped = [*texts[:i], texts[i + 1], texts[i], *texts[i + 2 :]]
        yield arguments, f"({', '.join(swapped)})"


def assignment_changed(node: Node) -> Found:
    if node.type == "assignment_expression" and operator_of(node) in ASSIGNMENTS and not is_loop_header(node):
        yield operator_token(node), ASSIGNMENTS[operator_of(node)]


def _narrow_sum(node: Node, bits: int) -> Found:
    if node.type == "assignment_expression" and operator_of(node) == "+=" and not is_loop_header(node):
        left, right = text_of(child_of(node, "left")), text_of(child_of(node, "right"))
        yield node, f"{left} = mutant::keep_bits<{bits}>({left} + ({right}))"


def sum_in_bfloat16(node: Node) -> Found:
    yield from _narrow_sum(node, 8)


def sum_in_tf32(node: Node) -> Found:
    yield from _narrow_sum(node, 11)


def _narrow_call(node: Node, names: re.Pattern[str], bits: int) -> Found:
    if node.type == "call_expression" and names.fullmatch(text_of(child_of(node, "function"))):
        yield node, f"mutant::keep_bits<{bits}>({text_of(node)})"


def load_in_bfloat16(node: Node) -> Found:
    yield from _narrow_call(node, LOADS, 8)


def load_in_tf32(node: Node) -> Found:
    yield from _narrow_call(node, LOADS, 11)


def function_to_12_bits(node: Node) -> Found:
    yield from _narrow_call(node, CORRECTIONS, 12)


def quotient_to_12_bits(node: Node) -> Found:
    if node.type == "binary_expression" and operator_of(node) == "/":
        yield node, f"mutant::keep_bits<12>({text_of(node)})"


def function_dropped(node: Node) -> Found:
    if node.type == "call_expression" and CORRECTIONS.fullmatch(text_of(child_of(node, "function"))):
        yield node, f"({', '.join(text_of(a) for a in child_of(node, 'arguments').named_children)})"


def wrong_loop_variable(node: Node) -> Found:
    """Another enclosing loop's variable, in an index or behind a stride."""
    if node.type != "identifier" or not is_within(node, {"subscript_argument_list", "binary_expression"}):
        return
    variables = loop_variables(node)
    if text_of(node) in variables and not is_loop_header(node):
        for other in sorted(variables - {text_of(node)}):
            yield node, other


def wrong_tensor(node: Node) -> Found:
    """The next parameter of the same type of pointer."""
    if node.type != "identifier" or is_within(node, {"parameter_list"}):
        return
    pointers = pointer_parameters(node)
    kind = pointers.get(text_of(node))
    alike = [name for name, other in pointers.items() if other == kind]
    if kind is not None and len(alike) > 1:
        yield node, alike[(alike.index(text_of(node)) + 1) % len(alike)]


OPERATORS: dict[str, Callable[[Node], Found]] = {
    operator.__name__.replace("_", " "): operator
    for operator in (
        relation_swapped,
        arithmetic_swapped,
        operand_dropped,
        loop_ends_early,
        tail_dropped,
        loop_starts_late,
        index_off_by_one,
        index_fixed,
        constant_changed,
        constant_off_by_a_percent,
        result_off_by_a_percent,
        statement_dropped,
        branch_dropped,
        condition_negated,
        extreme_swapped,
        arguments_swapped,
        assignment_changed,
        sum_in_bfloat16,
        sum_in_tf32,
        load_in_bfloat16,
        load_in_tf32,
        function_to_12_bits,
        quotient_to_12_bits,
        function_dropped,
        wrong_loop_variable,
        wrong_tensor,
    )
}
# A bfloat16 kernel's policy or its last rounding allows these, or its loads are exact in them.
FLOAT32_ONLY = {"sum in tf32", "load in bfloat16", "load in tf32", "function to 12 bits", "quotient to 12 bits"}
