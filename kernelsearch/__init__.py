"""Finds faster kernels for training hot paths and proves them equal."""

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelsearch.dispatch.upstream.install import Patches


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
