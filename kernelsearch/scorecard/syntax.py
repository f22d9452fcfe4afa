"""Questions to a node of a C++ syntax tree: its text, its loop, its function."""

from collections.abc import Iterator

from kernelsearch.errors import EnvironmentMissing

try:
    from tree_sitter import Language, Parser
    from tree_sitter import Node as Node
    from tree_sitter_cpp import language
except ModuleNotFoundError as error:
    raise EnvironmentMissing(
        f"{error.name} is not installed, and mutants are made with it: pip install 'kernelsearch[scorecard]'"
    ) from None

SKIPPED = {"preproc_call", "static_assert_declaration", "template_argument_list", "template_parameter_list", "comment"}


def parse(source: str) -> Node:
    return Parser(Language(language())).parse(source.encode()).root_node


def walk(node: Node) -> Iterator[Node]:
    if node.type in SKIPPED:
        return
    yield node
    for child in node.children:
        yield from walk(child)


def text_of(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def child_of(node: Node, field: str) -> Node:
    found = node.child_by_field_name(field)
    assert found is not None, f"{node.type} without {field}"
    return found


def operator_token(node: Node) -> Node:
    return child_of(node, "operator")


def operator_of(node: Node) -> str:
    return text_of(operator_token(node))


def ancestors(node: Node) -> Iterator[Node]:
    above = node.parent
    while above is not None:
        yield above
        above = above.parent


def enclosing_function(node: Node) -> str:
    """Name of the innermost function around the node, "" at file level."""
    for above in ancestors(node):
        if above.type == "function_definition":
            return text_of(child_of(above, "declarator")).split("(")[0].split()[-1]
    return ""


def is_within(node: Node, kinds: set[str]) -> bool:
    return any(above.type in kinds for above in ancestors(node))


def is_loop_header(node: Node) -> bool:
    """Inside the parentheses of a `for`."""
    inner = node
    for above in ancestors(node):
        if above.type == "for_statement":
            return above.child_by_field_name("body") != inner
        if above.type in ("compound_statement", "expression_statement", "function_definition"):
            return False
        inner = above
    return False


def loop_bound(node: Node) -> Node | None:
    """What a loop's variable is compared with."""
    condition = node.child_by_field_name("condition") if node.type == "for_statement" else None
    if condition is None or condition.type != "binary_expression" or operator_of(condition) not in ("<", "<="):
        return None
    return child_of(condition, "right")


def indices_of(node: Node) -> Iterator[Node]:
    if node.type == "subscript_expression":
        yield from child_of(node, "indices").named_children


def loop_variables(node: Node) -> set[str]:
    found = set()
    for above in ancestors(node):
        start = above.child_by_field_name("initializer") if above.type == "for_statement" else None
        if start is not None:
            found |= {text_of(child_of(n, "declarator")) for n in walk(start) if n.type == "init_declarator"}
    return found


def pointer_parameters(node: Node) -> dict[str, str]:
    """Type by name of the enclosing function's pointers."""
    function = next((n for n in ancestors(node) if n.type == "function_definition"), None)
    if function is None:
        return {}
    found = {}
    for parameter in (n for n in walk(child_of(function, "declarator")) if n.type == "parameter_declaration"):
        declarator = parameter.child_by_field_name("declarator")
        if declarator is not None and declarator.type == "pointer_declarator":
            name = text_of(declarator).lstrip("* ")
            found[name] = text_of(parameter)[: -len(name)]
    return found
