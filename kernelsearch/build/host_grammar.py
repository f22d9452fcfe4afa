"""What the host language and Triton's device language have in common: names, statements, expressions.

Both are subsets of Python that are listed, not subsets with holes: a node, a name, an attribute or a call that is not
on a list is refused. `Rules` holds the lists in which the two differ.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kernelsearch.build.host_source import refuse
from kernelsearch.errors import ContractError

MODULES = ("torch", "triton", "tl", "math")
BUILTINS = ("range", "min", "max", "abs", "int", "float", "bool", "len", "round")

# What an agent may have meant, by the node that it wrote.
INSTEAD: Mapping[type[ast.AST], tuple[str, str]] = {
    ast.Try: ("`try`", "write the one way that works; a failure is a verdict, not a branch"),
    ast.TryStar: ("`try`", "write the one way that works; a failure is a verdict, not a branch"),
    ast.With: ("`with`", "streams, devices and profilers are the launcher's; call the kernel directly"),
    ast.While: ("`while`", "write `for i in range(n)` with a bound from the shapes"),
    ast.Global: ("`global`", "state between calls is not allowed; compute it from the shapes in the host function"),
    ast.Nonlocal: ("`nonlocal`", "state between calls is not allowed; compute it from the shapes"),
    ast.Import: ("an import inside a function", "import torch, triton, triton.language as tl, math at the top"),
    ast.ImportFrom: ("an import inside a function", "import torch, triton, triton.language as tl, math at the top"),
    ast.FunctionDef: ("a function inside a function", "define it at the top level of the file"),
    ast.AsyncFunctionDef: ("`async`", "write a plain function"),
    ast.ClassDef: ("`class`", "write functions and constants only"),
    ast.Raise: ("`raise`", "the judge only calls with shapes the contract admits; delete the check"),
    ast.Assert: ("`assert`", "the judge only calls with shapes the contract admits; delete the check"),
    ast.Delete: ("`del`", "let the name go out of scope"),
    ast.Match: ("`match`", "write `if` and `elif`"),
    ast.Lambda: ("`lambda`", "write the value itself, for example grid = (triton.cdiv(n, BLOCK),)"),
    ast.NamedExpr: ("`:=`", "assign on a line of its own"),
    ast.ListComp: ("a comprehension", "write the tuple out, or a `for` loop"),
    ast.SetComp: ("a comprehension", "write the tuple out, or a `for` loop"),
    ast.DictComp: ("a comprehension", "write the values out"),
    ast.GeneratorExp: ("a generator", "write the tuple out, or a `for` loop"),
    ast.Dict: ("a dict", "use names; only TUNE and SAVES at the top level are dicts"),
    ast.Set: ("a set", "use a tuple"),
    ast.Starred: ("a star argument", "write every argument out"),
    ast.JoinedStr: ("an f-string", "no text is needed here; tunables are macros in CUDA source"),
    ast.Yield: ("`yield`", "return the tensors"),
    ast.YieldFrom: ("`yield`", "return the tensors"),
    ast.Await: ("`await`", "call the kernel directly"),
}


@dataclass(frozen=True)
class Scope:
    """What the file defines before this point, and what this function binds: name to kind.

    Kinds: module, builtin, constant, constexpr, tunable, cuda, kernel, host; names a function binds are in `local`.
    `parameters` are the arguments of the kernels and host functions by their name.
    """

    outer: Mapping[str, str]
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    local: frozenset[str] = frozenset()
    globals: Mapping[str, str] = field(default_factory=dict)

    def kind(self, name: str) -> str | None:
        return "local" if name in self.local else self.outer.get(name)


@dataclass(frozen=True)
class Rules:
    """One language: where it stands, its statements and expressions, and what it may read and call."""

    place: str
    statements: frozenset[type[ast.stmt]]
    expressions: frozenset[type[ast.expr]]
    read: Callable[[ast.Name, Scope], None]
    attribute: Callable[[ast.Attribute, Scope], None]
    call: Callable[[ast.Call, Scope], None]
    loop: Callable[[ast.For, Scope], None]
    bare: Callable[[ast.expr, Scope], None]
    annotation: Callable[[ast.expr], bool]


OPERATORS: frozenset[type[ast.expr]] = frozenset(
    {ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Constant, ast.Name, ast.Attribute, ast.Call}
    | {ast.Subscript, ast.Slice, ast.Tuple, ast.List}
)


def check_function(function: ast.FunctionDef, scope: Scope, rules: Rules) -> None:
    """Every statement of a function's body, its arguments and the names it binds."""
    arguments = argument_names(function, rules)
    bound = {n.id: n for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for name, node in bound.items():
        check_binding(name, node.lineno, scope)
    for name in arguments:
        check_binding(name, function.lineno, scope)
    inside = Scope(scope.outer, scope.parameters, frozenset(bound) | frozenset(arguments), scope.globals)
    check_block(without_docstring(function.body), inside, rules)


def argument_names(function: ast.FunctionDef, rules: Rules) -> tuple[str, ...]:
    """The names of plain positional arguments; annotations and defaults must be what `rules` and constants admit."""
    found = function.args
    if found.vararg or found.kwarg or found.kwonlyargs or found.posonlyargs:
        raise refuse(function.lineno, "star, keyword-only or positional-only arguments", "write every argument out")
    for default in found.defaults:
        if not is_number(default):
            raise refuse(default.lineno, "a default that is not a number", "give the value in the call")
    annotations = [a.annotation for a in found.args] + [function.returns]
    for annotation in annotations:
        if annotation is not None and not rules.annotation(annotation):
            raise refuse(annotation.lineno, f"annotation `{shown(annotation)}`", "leave it out")
    return tuple(a.arg for a in found.args)


def check_binding(name: str, line: int, scope: Scope) -> None:
    """A name that a function may give to a value of its own."""
    if name.startswith("__"):
        raise refuse(line, f"the name `{name}` begins with two underscores", "choose another name")
    if name in MODULES or name in BUILTINS or name == "launch":
        raise refuse(line, f"`{name}` would hide what that name means in every candidate", "choose another name")
    if name in scope.globals:
        raise refuse(line, f"`{name}` is already defined at the top level", "choose another name for the local value")


def check_block(statements: list[ast.stmt], scope: Scope, rules: Rules) -> None:
    for statement in statements:
        if type(statement) not in rules.statements:
            raise not_allowed(statement, rules.place)
        _STATEMENTS[type(statement)](statement, scope, rules)


def check_expression(node: ast.expr, scope: Scope, rules: Rules) -> None:
    if type(node) not in rules.expressions:
        raise not_allowed(node, rules.place)
    match node:
        case ast.Name():
            rules.read(node, scope)
        case ast.Attribute():
            rules.attribute(node, scope)
        case ast.Call():
            rules.call(node, scope)
        case ast.Constant():
            if not isinstance(node.value, int | float | None):
                raise refuse(node.lineno, f"the literal {shown(node)}", "use numbers, True, False and None")
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    check_expression(child, scope, rules)


def check_arguments(call: ast.Call, scope: Scope, rules: Rules, *, texts: frozenset[str] = frozenset()) -> None:
    """The arguments of an allowed call; keywords in `texts` may be string literals."""
    for keyword in call.keywords:
        if keyword.arg is None:
            raise refuse(call.lineno, "a star argument", "write every argument out")
        if keyword.arg in texts and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            continue
        check_expression(keyword.value, scope, rules)
    for argument in call.args:
        check_expression(argument, scope, rules)


def not_allowed(node: ast.stmt | ast.expr, place: str) -> ContractError:
    default = (f"`{type(node).__name__}`", "only what the contract of the language lists is allowed")
    what, instead = INSTEAD.get(type(node), default)
    return refuse(node.lineno, f"{what} is not allowed in {place}", instead)


def is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | None)


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body


def shown(node: ast.expr) -> str:
    """The text of an expression, short enough for a message."""
    text = ast.unparse(node).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."


def root_name(node: ast.expr) -> str | None:
    """The first name of a.b.c."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _check_target(target: ast.expr, rules: Rules) -> None:
    """Only names are assigned to: elements and attributes belong to somebody else."""
    match target:
        case ast.Name():
            return
        case ast.Tuple(elts=elements):
            for element in elements:
                _check_target(element, rules)
        case ast.Attribute():
            raise refuse(target.lineno, f"assigning to the attribute `{shown(target)}`", "assign to a name")
        case ast.Subscript():
            raise refuse(target.lineno, f"assigning to `{shown(target)}`", "write elements in a kernel")
        case _:
            raise not_allowed(target, rules.place)


def _assign(node: ast.Assign, scope: Scope, rules: Rules) -> None:
    for target in node.targets:
        _check_target(target, rules)
    check_expression(node.value, scope, rules)


def _augment(node: ast.AugAssign, scope: Scope, rules: Rules) -> None:
    _check_target(node.target, rules)
    check_expression(node.value, scope, rules)


def _annotate(node: ast.AnnAssign, scope: Scope, rules: Rules) -> None:
    _check_target(node.target, rules)
    if not rules.annotation(node.annotation):
        raise refuse(node.lineno, f"annotation `{shown(node.annotation)}`", "leave it out")
    if node.value is not None:
        check_expression(node.value, scope, rules)


def _branch(node: ast.If, scope: Scope, rules: Rules) -> None:
    check_expression(node.test, scope, rules)
    check_block(node.body, scope, rules)
    check_block(node.orelse, scope, rules)


def _repeat(node: ast.For, scope: Scope, rules: Rules) -> None:
    if node.orelse:
        raise refuse(node.lineno, "`else` of a loop", "write the statements after the loop")
    _check_target(node.target, rules)
    rules.loop(node, scope)
    check_block(node.body, scope, rules)


def _repeat_while(node: ast.While, scope: Scope, rules: Rules) -> None:
    if node.orelse:
        raise refuse(node.lineno, "`else` of a loop", "write the statements after the loop")
    check_expression(node.test, scope, rules)
    check_block(node.body, scope, rules)


def _give(node: ast.Return, scope: Scope, rules: Rules) -> None:
    if node.value is not None:
        check_expression(node.value, scope, rules)


def _bare(node: ast.Expr, scope: Scope, rules: Rules) -> None:
    rules.bare(node.value, scope)


def _nothing(node: ast.stmt, scope: Scope, rules: Rules) -> None:
    return


_STATEMENTS: Mapping[type[ast.stmt], Callable[..., None]] = {
    ast.Assign: _assign,
    ast.AugAssign: _augment,
    ast.AnnAssign: _annotate,
    ast.If: _branch,
    ast.For: _repeat,
    ast.While: _repeat_while,
    ast.Return: _give,
    ast.Expr: _bare,
    ast.Pass: _nothing,
    ast.Break: _nothing,
    ast.Continue: _nothing,
}
