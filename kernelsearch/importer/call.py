"""From a user's call of their function to the tensors of the contract."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from kernelsearch.errors import OutsideDomain
from kernelsearch.spec.declaration import declaration_of


def make_adapter(function: Callable[..., Any]) -> Callable[..., Any]:
    """`adapt(kernel, *arguments, **named)`, called as the function is; other values than its defaults stay outside."""
    signature = inspect.signature(function)
    declaration = declaration_of(function)
    assert declaration is not None, "a target is made of a declared function"
    tensors = tuple(declaration.shapes)
    constants = {n: p.default for n, p in signature.parameters.items() if n not in declaration.shapes}
    is_plain = tuple(signature.parameters)[: len(tensors)] == tensors

    def adapt(kernel: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if is_plain and not named and len(arguments) == len(tensors):
            given = arguments
        else:
            bound = signature.bind(*arguments, **named).arguments
            for name, default in constants.items():
                if name in bound and bound[name] != default:
                    raise OutsideDomain(f"{name} is not its default")
            given = tuple([bound[name] for name in tensors])
        for name, tensor in zip(tensors, given, strict=True):
            if not isinstance(tensor, Tensor):
                raise OutsideDomain(f"{name} is no tensor")
        return kernel(*given)

    return adapt
