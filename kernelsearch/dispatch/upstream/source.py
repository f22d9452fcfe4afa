"""Digests of the symbols in a source file, so that a patch is only put where its author read what it replaces.

A digest covers the syntax tree: comments, formatting and docstrings may change, anything that runs may not.
"""

import ast
from typing import Any

from kernelsearch.digest import digest


def symbol_digest(source: str, symbol: str) -> str | None:
    """Digest of what the dotted name `symbol` is defined as, decorators included; None where it is not defined."""
    node: ast.AST = ast.parse(source)
    for name in symbol.split("."):
        found = [child for child in getattr(node, "body", ()) if name in _defined(child)]
        if not found:
            return None
        node = found[-1]  # a name that is defined twice means its last definition
    return digest(_shape(node))


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name] if isinstance(name := getattr(statement, "name", None), str) else []


def _shape(value: Any) -> Any:
    """The tree as nested lists. Empty fields are left out: which exist depends on the version of Python."""
    if isinstance(value, ast.AST):
        fields = [(name, _body(item) if name == "body" else item) for name, item in ast.iter_fields(value)]
        return [type(value).__name__, *([name, _shape(item)] for name, item in fields if item not in (None, []))]
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return repr(value)


def _body(statements: Any) -> Any:
    """The statements without a docstring."""
    if isinstance(statements, list) and statements and isinstance(statements[0], ast.Expr):
        constant = statements[0].value
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
            return statements[1:]
    return statements
