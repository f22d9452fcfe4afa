"""A KernelBench problem: a file with `class Model`, `get_inputs()` and `get_init_inputs()`.

Its sizes are integers assigned at the top of the file (`batch_size = 16`). Binding another number to such a name
before the file runs is how the same problem is asked at another shape; what is computed from it follows. Running the
file executes code that somebody else wrote.
"""

import ast
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernelsearch.digest import digest_bytes
from kernelsearch.errors import UsageError

NEEDED = ("Model", "get_inputs", "get_init_inputs")
FUNCTION_MARK, GRADIENTS_MARK = "KERNELSEARCH_FUNCTION", "KERNELSEARCH_GRADIENTS"
NUMBERS = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)


@dataclass(frozen=True)
class Instance:
    """The problem at one shape: the module in evaluation mode and one draw of the arguments of its forward."""

    module: nn.Module
    arguments: tuple[Any, ...]

    def states(self) -> dict[str, Tensor]:
        """Floating-point parameters and buffers by qualified name; integer buffers stay inside the module."""
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: tensor.detach() for name, tensor in named if tensor.is_floating_point()}

    def argument_names(self) -> list[str]:
        """Names of forward's parameters for the arguments given; `*args` are numbered."""
        names: list[str] = []
        for index, parameter in enumerate(inspect.signature(self.module.forward).parameters.values()):
            if parameter.kind is parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}{i}" for i in range(len(self.arguments) - index)]
            else:
                names.append(parameter.name)
        return names[: len(self.arguments)]

    def run(self) -> tuple[Tensor, ...]:
        """The outputs; raises UsageError if there is something else among them."""
        needs_gradient = any(isinstance(x, Tensor) and x.requires_grad for x in self.arguments)
        with torch.set_grad_enabled(needs_gradient):
            returned = self.module(*self.arguments)
        outputs = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
        if not outputs or not all(isinstance(output, Tensor) for output in outputs):
            raise UsageError(f"forward returns {type(returned).__name__}: it must be a tensor or a tuple of tensors")
        return outputs


@dataclass(frozen=True)
class Problem:
    """The text of a problem's file."""

    source: str
    name: str

    @property
    def digest(self) -> str:
        return digest_bytes(self.source.encode())

    @cached_property
    def constants(self) -> dict[str, int]:
        """Top-level names given an integer, in order: literals and arithmetic of literals (`4096 * 2`)."""
        found = {name: _fold(node.value) for name, node in _assignments(ast.parse(self.source))}
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def function(self) -> str | None:
        """FILE:NAME of the function that this problem was made of (importer/function.py)."""
        found: str | None = self._literal(FUNCTION_MARK)
        return found

    @cached_property
    def gradients(self) -> tuple[str, ...]:
        """The arguments whose gradients are part of the question; KernelBench asks for none."""
        return tuple(self._literal(GRADIENTS_MARK) or ())

    @property
    def kind(self) -> str:
        return "KernelBench problem" if self.function is None else "function"

    def _literal(self, name: str) -> Any:
        node = dict(_assignments(ast.parse(self.source))).get(name)
        return None if node is None else ast.literal_eval(node.value)

    def instantiate(self, settings: Mapping[str, int], seed: int) -> Instance:
        """The module and its arguments with `settings` bound in place of the file's own constants."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            space = self.execute(settings)
            module = space["Model"](*space["get_init_inputs"]())
            if not isinstance(module, nn.Module):
                raise UsageError(f"file={self.name!r}: Model is not a torch.nn.Module")
            return Instance(module.eval(), tuple(space["get_inputs"]()))

    def execute(self, settings: Mapping[str, int]) -> dict[str, Any]:
        """The names that the file defines, run with these constants."""
        tree = ast.parse(self.source)
        for name, node in _assignments(tree):
            if name in settings:
                node.value = ast.copy_location(ast.Constant(settings[name]), node.value)
        module = types.ModuleType("kernelbench_problem")
        exec(compile(ast.fix_missing_locations(tree), self.name, "exec"), module.__dict__)
        missing = [name for name in NEEDED if name not in module.__dict__]
        if missing:
            raise UsageError(f"file={self.name!r} defines no {', '.join(missing)}: it is not a KernelBench problem")
        return module.__dict__


def read_problem(file: Path) -> Problem:
    """The problem at `file`, not yet executed; raises UsageError if it cannot be read or parsed."""
    try:
        source = file.read_text()
        ast.parse(source)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise UsageError(f"file={str(file)!r}: cannot be read as Python ({error})") from None
    return Problem(source, file.name)


def _assignments(tree: ast.Module) -> list[tuple[str, ast.Assign]]:
    """The last plain assignment to each top-level name."""
    found: dict[str, ast.Assign] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return list(found.items())


def _fold(value: ast.expr) -> int | None:
    if not all(isinstance(node, NUMBERS) for node in ast.walk(value)):
        return None
    result = eval(compile(ast.Expression(value), "<constant>", "eval"), {"__builtins__": {}})
    return result if isinstance(result, int) and not isinstance(result, bool) and result > 0 else None
