"""A user's own function declared as a target, in the file where it stands.

    @kernelsearch.target(
        shapes={"x": "rows dim", "scale": "dim"}, sizes={"rows": 2048, "dim": 768}, gradients=("x", "scale")
    )
    def scaled_gelu(x, scale): ...

The decorated function is the same object as before: nothing is swapped until `kernelsearch.load` is asked.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kernelsearch.errors import UsageError

ATTRIBUTE = "__kernelsearch_target__"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """Axes of each tensor argument in the order of the signature, a size for each axis, and what is differentiated."""

    shapes: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, int]
    gradients: tuple[str, ...]


def target(
    *, shapes: Mapping[str, str], sizes: Mapping[str, int], gradients: Sequence[str] = ()
) -> Callable[[Function], Function]:
    """Declare a function of float tensors as a target of the search.

    `shapes` gives the axes of each tensor argument ("" for one without any), `sizes` the extent of each axis at which
    kernels are timed, `gradients` the arguments whose gradients a kernel must return. Arguments that are no tensors
    keep their defaults.
    """

    def declare(function: Function) -> Function:
        names = list(inspect.signature(function).parameters)
        ordered = {name: tuple(shapes[name].split()) for name in names if name in shapes}
        declaration = Declaration(ordered, dict(sizes), tuple(gradients))
        _check(function.__name__, inspect.signature(function), declaration, shapes)
        setattr(function, ATTRIBUTE, declaration)
        return function

    return declare


def declaration_of(function: Callable[..., Any]) -> Declaration | None:
    found: Declaration | None = getattr(function, ATTRIBUTE, None)
    return found


def _check(name: str, signature: inspect.Signature, found: Declaration, shapes: Mapping[str, str]) -> None:
    parameters = signature.parameters
    unknown = sorted(set(shapes) - set(parameters))
    if unknown:
        raise UsageError(f"shapes={unknown[0]!r}: {name} takes {', '.join(parameters) or 'nothing'}")
    if not shapes:
        raise UsageError(f"shapes={{}}: give the axes of each tensor that {name} takes")
    for parameter in parameters.values():
        if parameter.name not in shapes and parameter.default is parameter.empty:
            raise UsageError(f"shapes={list(shapes)}: {name} takes {parameter.name} too; give its axes, or a default")
    axes = [axis for names in found.shapes.values() for axis in names]
    for axis in axes:
        if not re.fullmatch(r"[A-Za-z_]\w*", axis, re.ASCII) or axis not in found.sizes:
            raise UsageError(f"sizes={dict(found.sizes)}: give a size for the axis {axis!r}, a name")
    for axis, size in found.sizes.items():
        if axis not in axes or not isinstance(size, int) or size < 1:
            raise UsageError(f"sizes[{axis!r}]={size!r}: give a whole number, for an axis that a tensor has")
    strangers = sorted(set(found.gradients) - set(found.shapes))
    if strangers:
        raise UsageError(f"gradients={strangers[0]!r}: choose from {', '.join(found.shapes)}")
