"""A function of somebody's own file as a problem: what it needs of the file, and the shapes it declares.

Only the statements that the function needs are kept (imports, constants, other functions), so the rest of the file, a
training script for example, is neither executed nor part of the contract: an edit there leaves kernels valid.
"""

import ast
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kernelsearch.digest import digest_bytes
from kernelsearch.errors import KernelSearchError, UsageError
from kernelsearch.importer.problem import FUNCTION_MARK, GRADIENTS_MARK
from kernelsearch.importer.shapes import RESERVED
from kernelsearch.spec.declaration import Declaration, declaration_of
from kernelsearch.spec.library import library_path, target_names

TEMPLATE = """{source}


# What follows asks the function as a problem: sizes of its axes, a module around it, a draw of its arguments.
import torch as _torch

{sizes}
{function_mark} = {label!r}
{gradients_mark} = {gradients!r}


class Model(_torch.nn.Module):
    def forward(self, {arguments}):
        return {name}({passed})


def get_inputs():
    return [{drawn}]


def get_init_inputs():
    return []
"""


@dataclass(frozen=True)
class OwnFunction:
    """One declared function: the statements it needs, what it is called, and the file it came from."""

    name: str
    file: Path
    source: str

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function from its own statements alone; whatever they raise is said as the file's fault."""
        module = types.ModuleType(f"_kernelsearch_function_{digest_bytes(self.source.encode())[:16]}")
        try:
            exec(compile(self.source, str(self.file), "exec"), module.__dict__)
        except KernelSearchError:
            raise
        except Exception as error:
            raise UsageError(
                f"{self.label}: what it needs of its file does not run ({type(error).__name__}: {error}); it may use "
                "installed packages and names at the top of its own file"
            ) from None
        found: Callable[..., Any] = module.__dict__[self.name]
        return found

    @property
    def label(self) -> str:
        return f"{self.file.name}:{self.name}"

    @cached_property
    def declaration(self) -> Declaration:
        found = declaration_of(self.function)
        if found is None:
            raise UsageError(f"{self.label} is not declared: put @kernelsearch.target(shapes=..., sizes=...) above it")
        return found

    @cached_property
    def problem_source(self) -> str:
        """The text of a problem (importer/problem.py) whose module is the function."""
        declared = self.declaration
        names = list(declared.shapes)
        drawn = [f"_torch.randn({', '.join(axes) if axes else '()'})" for axes in declared.shapes.values()]
        return TEMPLATE.format(
            source=self.source,
            sizes="\n".join(f"{axis} = {size}" for axis, size in declared.sizes.items()),
            function_mark=FUNCTION_MARK,
            label=self.label,
            gradients_mark=GRADIENTS_MARK,
            gradients=declared.gradients,
            arguments=", ".join(names),
            name=self.name,
            passed=", ".join(f"{name}={name}" for name in names),
            drawn=", ".join(drawn),
        )

    @property
    def folder_name(self) -> str:
        """Of the target made of it: another text is another folder, so an edit never meets an older contract."""
        return f"{self.name}-{digest_bytes(self.problem_source.encode())[:12]}"


def is_function(text: str) -> bool:
    """Whether `text` names a Python file, or a function in one: mine.py, mine.py:scaled_gelu."""
    return text.partition(":")[0].endswith(".py")


def read_function(text: str) -> OwnFunction:
    """The function that FILE.py:NAME names, or the one that FILE.py declares; raises UsageError if there is none."""
    path, _, name = text.partition(":")
    file = Path(path)
    try:
        source = file.read_text()
        tree = ast.parse(source)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UsageError(f"file={path!r}: cannot be read as Python ({error})") from None
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    declared = [n for n, node in defined.items() if any(_is_declaration(d) for d in node.decorator_list)]
    if not name and len(declared) == 1:
        name = declared[0]
    if name not in defined:
        known = ", ".join(f"{path}:{n}" for n in declared or defined) or "none"
        raise UsageError(f"target={text!r}: name a function at the top of the file that is declared; there: {known}")
    found = OwnFunction(name, file.resolve(), _needed(tree, source, name))
    _check_names(found, tree)
    return found


def _is_declaration(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "target"


def _check_names(found: OwnFunction, tree: ast.Module) -> None:
    if found.name in RESERVED or found.name in target_names(library_path()):
        raise UsageError(f"{found.label}: the name is taken, by a word of C++ or another target; rename the function")
    numbers = {n for node in tree.body for n in _bound(node) if _is_number(node)}
    bound = {n for node in ast.parse(found.source).body for n in _bound(node)} - numbers
    clash = sorted(
        (set(found.declaration.sizes) & bound) | (set(found.declaration.sizes) & set(found.declaration.shapes))
    )
    if clash:
        raise UsageError(f"sizes={clash[0]!r}: is the name of something else that {found.label} uses; rename the axis")


def _is_number(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, int)


def _needed(tree: ast.Module, source: str, name: str) -> str:
    """The text of the top-level statements that define `name` and, again and again, whatever those use."""
    kept: set[int] = set()
    wanted, seen = {name}, set[str]()
    while wanted - seen:
        names, seen = wanted - seen, seen | wanted
        for index, node in enumerate(tree.body):
            if index not in kept and (_bound(node) & names or _is_future(node)):
                kept.add(index)
                wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    lines = source.splitlines()
    parts = []
    for node in (tree.body[index] for index in sorted(kept)):
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        parts.append("\n".join(lines[first - 1 : node.end_lineno]))
    return "\n".join(parts)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _bound(node: ast.stmt) -> set[str]:
    """The names that a top-level statement gives a meaning; nothing for what runs only as a script."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
        return set()
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in inner.names}
    return found
