"""Packages of an extra: there, or an error that says how to get them."""

import importlib.util

from kernelsearch.errors import EnvironmentMissing


def require(extra: str, module: str | None = None) -> None:
    """Raise EnvironmentMissing unless the extra's module (by default of the same name) can be imported."""
    if importlib.util.find_spec(module or extra) is None:
        raise EnvironmentMissing(f"{module or extra} is not installed: pip install 'kernelsearch[{extra}]'")
