"""Finds faster kernels for training hot paths and proves them equal."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kernelsearch.spec.declaration import target

if TYPE_CHECKING:
    from kernelsearch.custom.load import Swapped
    from kernelsearch.dispatch.upstream.install import Patches

__all__ = ("apply", "load", "target")


def load(function: "str | Callable[..., Any]", *, state: str | Path | None = None) -> "Swapped":
    """A declared function (FILE.py:NAME, or the function itself) with the kernels accepted for it.

    Calls outside what was verified run the function itself and are counted: `report()`. `state` defaults to
    KERNELSEARCH_HOME, or .kernelsearch here. docs/tutorial.md
    """
    from kernelsearch.custom.load import load  # torch takes seconds to import

    return load(function, state=state or os.environ.get("KERNELSEARCH_HOME") or ".kernelsearch")


def apply(
    package: "ModuleType | str" = "nanochat",
    *,
    kernels: str = "promoted",
    is_identity: bool = False,
    shadow: float | None = None,
) -> "Patches":
    """Put accepted kernels into a nanochat that this process has loaded or will import; no file is changed.

    Returns a handle with report() and restore(). Kernels that were not judged on this machine stay out: judge them by
    `kernelsearch run` once, or by `kernelsearch verify`. KERNELSEARCH=0 turns it off, KERNELSEARCH_HOME is the state.
    """
    from kernelsearch.dispatch.upstream.apply import apply  # torch takes seconds to import

    is_off = os.environ.get("KERNELSEARCH") == "0"
    return apply(
        package,
        kernels="none" if is_off else kernels,
        state_dir=Path(os.environ.get("KERNELSEARCH_HOME") or ".kernelsearch").resolve(),
        is_identity=is_identity and not is_off,
        shadow=shadow,
    )
