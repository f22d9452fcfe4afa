"""`kernelsearch import`: a target from somebody else's problem, or from a function of one's own, as a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.cli.own import describe_import
from kernelsearch.cli.workplace import parse_seconds
from kernelsearch.errors import UsageError
from kernelsearch.importer.function import read_function
from kernelsearch.importer.isolation import import_function, import_kernelbench

KINDS = ("kernelbench", "function")


def run(kind: str, file: str, out: Path | None, settings: tuple[str, ...], timeout: str) -> tuple[dict[str, Any], int]:
    if kind not in KINDS:
        raise UsageError(f"kind={kind!r}: choose from {', '.join(KINDS)}")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"running {file}: an import executes the problem's code", markup=False)
    found, folder = _import(kind, file, out, _parse(settings), parse_seconds(timeout, "timeout"))
    if "unusable" in found:
        raise UsageError(f"file={file!r}: {found['unusable']}")
    if "refused" in found:
        console.print(f"refused: {found['refused']}", markup=False)
        return {"refused": found["refused"], "folder": None}, 1
    answer = {**found["imported"], "folder": str(folder)}
    lines = describe_import(answer)
    lines.append(f"imported into {folder}; every judgement of it runs its problem.py again")
    lines.append(f"next: kernelsearch targets show {folder} --abi")
    console.print("\n".join(lines), markup=False)
    return answer, 0


def _import(
    kind: str, file: str, out: Path | None, settings: Mapping[str, int], timeout_s: float
) -> tuple[dict[str, Any], Path]:
    if kind == "kernelbench":
        return import_kernelbench(Path(file), out, settings, timeout_s)
    if settings:
        raise UsageError("set: a function's sizes stand in its declaration; edit them there")
    found = read_function(file)
    return import_function(found, out or Path(found.name), timeout_s)


def _parse(settings: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if not name.isidentifier() or not text.isdecimal() or int(text) < 1:
            raise UsageError(f"set={setting!r}: give NAME=VALUE, a size at the top of the file and a whole number")
        found[name] = int(text)
    return found
