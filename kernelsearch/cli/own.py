"""Targets by the names that commands take: of the library, a folder, or a function of the user's own file."""

from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.custom.load import FOLDER
from kernelsearch.errors import UsageError
from kernelsearch.importer.function import OwnFunction, is_function, read_function
from kernelsearch.importer.isolation import import_function
from kernelsearch.spec import TargetFolder, find_target

TIMEOUT_S = 300.0


def find_folder(name: str, library: Path, state_dir: Path) -> TargetFolder:
    """The target that `name` names; of a function it is made in the state folder, once for each text of it."""
    if not is_function(name):
        return find_target(name, library)
    found = read_function(name)
    folder = state_dir / FOLDER / found.folder_name
    if not (folder / "target.py").is_file():
        make_target(found, folder)
    return TargetFolder(folder)


def make_target(found: OwnFunction, folder: Path) -> dict[str, Any]:
    """Import the function into `folder`; raises UsageError where it is no question for a kernel."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"{found.label}: deriving its oracle, values and shapes", markup=False)
    answer, _ = import_function(found, folder, TIMEOUT_S)
    refusal = answer.get("unusable") or answer.get("refused")
    if refusal:
        raise UsageError(f"target={found.label!r}: {refusal}")
    for line in describe_import(answer["imported"]):
        console.print(line, markup=False)
    imported: dict[str, Any] = answer["imported"]
    return imported


def describe_import(imported: dict[str, Any]) -> list[str]:
    """What a user should know of a target that was made."""
    sizes = " ".join(f"{axis}={size}" for axis, size in imported["sizes"].items())
    lines = [f"{imported['target']}: {sizes}", f"axes: {' '.join(imported['axes']) or 'none, every size is fixed'}"]
    if imported["regimes_without_finite_answers"]:
        dropped = ", ".join(imported["regimes_without_finite_answers"])
        lines.append(f"left out, as its answers there are not finite: {dropped} values")
    lines += imported["notes"]
    if imported["seeds"]:
        lines.append(f"a source to start from was written out of its operations: {', '.join(imported['seeds'])}")
    if imported["unfused"]:
        lines.append(f"no source to start from could be written: {imported['unfused']}")
    return lines
