"""The allow-list for Triton and CUDA candidates: one Python file in a restricted form, judged on its syntax tree.

The file holds, in any order that defines before it uses: a docstring; imports of torch, triton, triton.language and
math; constants; TUNE and SAVES; for Triton @triton.jit functions, for CUDA strings of CUDA C; and host functions. What
is not on a list is refused, with the line and the way to write what was meant.

    TUNE = {"BLOCK": [64, 128]}                     the first value is the default; read as the name BLOCK
    SAVES = {"lse": ("float32", "B", "H", "T")}     what the forward returns after its outputs, for the backward

Host functions take the contract's tensors in order, then its parameters, and return tensors:

    <entry>_forward(inputs, parameters) -> outputs, saved tensors
    <entry>_backward(inputs, outputs, saved tensors, output gradients, parameters) -> input gradients
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelsearch.build import host_device, host_function
from kernelsearch.build.host_cuda import lint_cuda
from kernelsearch.build.host_grammar import (
    BUILTINS,
    MODULES,
    Scope,
    argument_names,
    check_binding,
    check_function,
    is_number,
    shown,
    without_docstring,
)
from kernelsearch.build.host_source import parse_source, refuse
from kernelsearch.errors import ContractError
from kernelsearch.spec.candidate import saved_tensors
from kernelsearch.spec.target import Entry, Target, TensorSpec

JIT_KEYWORDS = ("do_not_specialize", "do_not_specialize_on_alignment", "noinline")
IMPORTS = {
    "triton": ("import torch", "import triton", "import triton.language as tl", "import math"),
    "cuda": ("import torch", "import math"),
}
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)


@dataclass
class _File:
    """What was defined so far: kinds by name, arguments of functions by name, and the kernels of each CUDA string."""

    language: str
    kinds: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def define(self, name: str, kind: str, line: int) -> None:
        check_binding(name, line, Scope({}))
        if name in self.kinds:
            raise refuse(line, f"`{name}` is defined twice", "give it another name")
        self.kinds[name] = kind
        self.lines[name] = line


def lint_host(source: str, language: str, entries: Mapping[str, tuple[str, ...]]) -> None:
    """Raises ContractError for the first thing that a candidate in "triton" or "cuda" must not contain, or lacks.

    `entries` maps the names of the required host functions to the names of their arguments.
    """
    tree = parse_source(source)
    file = _File(language)
    launches = 0
    names = _defined_names(tree)
    for node in without_docstring(tree.body):
        match node:
            case ast.Import() | ast.ImportFrom():
                _check_import(node, file)
            case ast.Assign() | ast.AnnAssign():
                _check_constant(node, file)
            case ast.FunctionDef():
                _check_definition(node, file, names)
                launches += sum(_is_launch(n) for n in ast.walk(node))
            case _:
                what = f"`{ast.unparse(node).splitlines()[0][:60]}` at the top level"
                raise refuse(node.lineno, what, "the top level holds imports, constants and functions only")
    _check_entries(entries, file)
    _check_kernels_are_used(tree, file)
    if not launches:
        raise ContractError("launches no kernel of its own: launch at least one in a host function")


def _check_kernels_are_used(tree: ast.Module, file: _File) -> None:
    """A kernel that nothing launches or calls is a decoy, or forgotten."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name, kind in file.kinds.items():
        if kind == "kernel" and name not in used:
            raise refuse(file.lines[name], f"kernel `{name}` is never launched", "launch it, or take it out")


def host_functions(target: Target, source: str) -> dict[str, tuple[str, ...]]:
    """The Python functions a source for `target` must define, and their arguments; also for plain Python candidates.

    Axes are in the tensors' shapes; one that no tensor has is passed before the parameters.
    """
    found = {}
    for entry in target.entries:
        saved = saved_tensors(source, target, entry.name)
        found[f"{entry.name}_forward"] = _arguments(entry, entry.inputs)
        if entry.has_backward:
            read = (*entry.inputs, *entry.outputs, *saved, *entry.output_gradients())
            found[f"{entry.name}_backward"] = _arguments(entry, read)
    return found


def _arguments(entry: Entry, tensors: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    shown_axes = {axis for tensor in tensors for axis in tensor.axes}
    axes = [axis.name for axis in entry.axes if axis.name not in shown_axes]
    return (*(t.name for t in tensors), *axes, *(p.name for p in entry.parameters))


def _defined_names(tree: ast.Module) -> dict[str, str]:
    """Every name that the top level binds: a function must hide none of them, defined above it or below."""
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = "function"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names |= {
                n.id: "constant" for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
            names |= dict.fromkeys(_tunables(node), "tunable")
    return names


def _check_import(node: ast.Import | ast.ImportFrom, file: _File) -> None:
    text = ast.unparse(node)
    if text not in IMPORTS[file.language]:
        way = f"the imports of a {file.language} candidate are: {'; '.join(IMPORTS[file.language])}"
        raise refuse(node.lineno, f"`{text[:60]}`", way)
    name = node.names[0].asname or node.names[0].name
    file.kinds[name] = "module"


def _check_constant(node: ast.Assign | ast.AnnAssign, file: _File) -> None:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or node.value is None:
        raise refuse(node.lineno, "an assignment to more than one name", "write NAME = value")
    name = targets[0].id
    if name == "TUNE":
        for tunable in _tunables(node):
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", tunable):
                raise refuse(node.lineno, f"the tunable {tunable!r}", "name tunables in capitals, such as BLOCK_Q")
            file.define(tunable, "tunable", node.lineno)
        file.define(name, "declaration", node.lineno)
    elif name == "SAVES":
        file.define(name, "declaration", node.lineno)
    elif isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        _check_text(name, node.value.value, node.value.lineno, file)
    else:
        file.define(name, _constant_kind(node, file), node.lineno)


def _tunables(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """The names a TUNE declaration makes; its form is held by spec.candidate, its names by `define`."""
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if not (isinstance(target, ast.Name) and target.id == "TUNE" and isinstance(node.value, ast.Dict)):
        return []
    return [key.value for key in node.value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def _check_text(name: str, text: str, line: int, file: _File) -> None:
    if file.language != "cuda":
        raise refuse(line, f"the string `{name}`", "a Triton candidate needs no text but docstrings")
    kernels = lint_cuda(text, line)
    file.define(name, "cuda", line)
    file.parameters[name] = kernels


def _constant_kind(node: ast.Assign | ast.AnnAssign, file: _File) -> str:
    """`constant`, or `constexpr` where Triton may read it: NAME: tl.constexpr = value, NAME = tl.constexpr(value)."""
    is_annotated = isinstance(node, ast.AnnAssign)
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) not in ("tl.constexpr", "int", "float"):
        raise refuse(node.lineno, f"annotation `{shown(node.annotation)}`", "leave it out, or write tl.constexpr")
    assert node.value is not None
    value = node.value
    is_constexpr = is_annotated and isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "tl.constexpr"
    match value:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="tl"), attr="constexpr"), args=[inner], keywords=[]):
            value, is_constexpr = inner, True
    if is_constexpr and file.kinds.get("tl") != "module":
        raise refuse(node.lineno, "`tl` is not imported", "write `import triton.language as tl` above")
    _check_constant_value(value, file)
    return "constexpr" if is_constexpr else "constant"


def _check_constant_value(node: ast.expr, file: _File) -> None:  # noqa: C901 (one case a line of the grammar)
    match node:
        case _ if is_number(node):
            return
        case ast.Name(id=name) if file.kinds.get(name) in ("constant", "constexpr"):
            return
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ARITHMETIC):
            _check_constant_value(left, file)
            _check_constant_value(right, file)
        case ast.BinOp(left=left, op=ast.Pow() | ast.LShift(), right=ast.Constant(value=int() as power)) if (
            0 <= power <= 64 and is_number(left)
        ):
            return
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check_constant_value(operand, file)
        case ast.Tuple(elts=elements):
            for element in elements:
                _check_constant_value(element, file)
        case ast.Attribute(value=ast.Name(id="math"), attr=name) if name in host_function.NUMBERS:
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id="math"), attr=name), args=arguments, keywords=[]) if (
            name in host_function.MATHEMATICS
        ):
            for argument in arguments:
                _check_constant_value(argument, file)
        case ast.List() | ast.Dict() | ast.Set():
            raise refuse(node.lineno, "a value that can change between calls", "write a tuple")
        case _:
            way = "a constant is a number, a tuple, or arithmetic of constants above it"
            raise refuse(node.lineno, f"`{shown(node)}` as a constant", way)


def _check_definition(node: ast.FunctionDef, file: _File, names: Mapping[str, str]) -> None:
    for name in ast.walk(node):
        if isinstance(name, ast.Name) and name.id in MODULES and name.id not in file.kinds:
            raise refuse(
                name.lineno, f"`{name.id}` is not imported", f"write one of {'; '.join(IMPORTS[file.language])}"
            )
    is_kernel = bool(node.decorator_list)
    if is_kernel:
        _check_decorator(node, file)
    rules = host_device.RULES if is_kernel else host_function.RULES
    outer = dict.fromkeys(BUILTINS, "builtin") | file.kinds | ({"launch": "launch"} if file.language == "cuda" else {})
    if is_kernel:  # its arguments are named like the tunables that are passed to them
        names = {name: kind for name, kind in names.items() if kind != "tunable"}
    check_function(node, Scope(outer, file.parameters, globals=names), rules)
    # Defined only now: a function that calls itself, or one below it, calls what is not defined.
    file.define(node.name, "kernel" if is_kernel else "host", node.lineno)
    file.parameters[node.name] = argument_names(node, rules)


def _check_decorator(node: ast.FunctionDef, file: _File) -> None:
    match node.decorator_list:
        case [ast.Attribute(value=ast.Name(id="triton"), attr="jit")]:
            keywords: list[ast.keyword] = []
        case [ast.Call(func=ast.Attribute(value=ast.Name(id="triton"), attr="jit"), args=[], keywords=keywords)]:
            pass
        case [first, *_]:
            text = f"decorator `@{shown(first)}`"
            raise refuse(first.lineno, text, "only @triton.jit is allowed; declare choices in TUNE")
    if file.language != "triton":
        raise refuse(node.lineno, "a @triton.jit function in a CUDA candidate", "write it in CUDA C")
    for keyword in keywords:
        if keyword.arg not in JIT_KEYWORDS or any(isinstance(n, ast.Call) for n in ast.walk(keyword.value)):
            raise refuse(node.lineno, f"`{keyword.arg}` of @triton.jit", f"known are {', '.join(JIT_KEYWORDS)}")


def _is_launch(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Subscript() | ast.Name(id="launch"))):
            return True
    return False


def _check_entries(entries: Mapping[str, tuple[str, ...]], file: _File) -> None:
    for name, arguments in entries.items():
        wanted = f"def {name}({', '.join(arguments)})"
        if file.kinds.get(name) != "host":
            raise ContractError(f"host function {name} is missing: define `{wanted}`")
        if file.parameters[name] != arguments:
            found = ", ".join(file.parameters[name])
            raise refuse(file.lines[name], f"{name} takes ({found})", f"the contract's form is `{wanted}`")
