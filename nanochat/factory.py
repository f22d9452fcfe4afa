"""Ops chosen at start-up, by the name of a function that makes them.

The choice is "eager", or {"factory": "module:function", "argument": ANY}: the function is imported and called with the
argument, and returns (callables by field of Ops, report). Fields that it leaves out stay eager; the report, a function
without arguments, tells what was called and what fell back.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from nanochat.ops import Ops


def resolve_ops(choice: str | dict[str, Any]) -> tuple[Ops, Callable[[], Any]]:
    """The ops of a choice and its report, which is None for eager ones."""
    if choice == "eager":
        return Ops.eager(), lambda: None
    if isinstance(choice, str) or "factory" not in choice:
        raise ValueError(f'ops={choice!r}: "eager" or an object with "factory" and "argument"')
    module, _, function = choice["factory"].partition(":")
    fields, report = getattr(importlib.import_module(module), function)(choice.get("argument"))
    return dataclasses.replace(Ops.eager(), **fields), report
