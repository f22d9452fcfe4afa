"""The optional parts of this installation, as its own package metadata declares them."""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

PACKAGE = "kernelsearch"
_ADVICE = re.compile(r"pip install 'kernelsearch\[([\w-]+)\]'")
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*).*;.*\bextra\s*==\s*['\"]([\w-]+)['\"]")


def declared_extras(lines: list[str]) -> dict[str, list[str]]:
    """Names of the distributions that each extra asks for, from requirement lines of package metadata."""
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _REQUIREMENT.match(line)
        if match:
            found.setdefault(match[2], []).append(match[1])
    return found


def installed_extras() -> dict[str, dict[str, str | None]]:
    """By extra and distribution the installed version, None for what is missing; empty if we are not installed."""
    try:
        lines = requires(PACKAGE) or []
    except PackageNotFoundError:
        return {}
    return {extra: {name: _version(name) for name in names} for extra, names in declared_extras(lines).items()}


def install_command(extra: str) -> str:
    """What adds an extra to the environment that runs us: from the checkout, where this is one."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"{sys.executable} -m pip install -e '{checkout}[{extra}]'"
    return f"{sys.executable} -m pip install '{PACKAGE}[{extra}]'"


def with_exact_commands(text: str) -> str:
    """`text` with the command for this environment wherever it says how to install one of our extras.

    Packages below the command line know an extra's name, not where we are installed.
    """
    return _ADVICE.sub(lambda found: install_command(found[1]), text)


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
