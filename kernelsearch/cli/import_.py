"""`kernelsearch import`: a target from somebody else's problem."""

from pathlib import Path
from typing import Any

from rich.console import Console

from kernelsearch.cli.workplace import parse_seconds
from kernelsearch.errors import UsageError
from kernelsearch.importer.isolation import import_kernelbench

KINDS = ("kernelbench",)


def run(kind: str, file: Path, out: Path | None, settings: tuple[str, ...], timeout: str) -> tuple[dict[str, Any], int]:
    if kind not in KINDS:
        raise UsageError(f"kind={kind!r}: choose from {', '.join(KINDS)}")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"running {file}: an import executes the problem's code", markup=False)
    found, folder = import_kernelbench(file, out, _parse(settings), parse_seconds(timeout, "timeout"))
    if "unusable" in found:
        raise UsageError(f"file={str(file)!r}: {found['unusable']}")
    if "refused" in found:
        console.print(f"refused: {found['refused']}", markup=False)
        return {"refused": found["refused"], "folder": None}, 1
    answer = {**found["imported"], "folder": str(folder)}
    _print(console, answer)
    return answer, 0


def _parse(settings: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if not name.isidentifier() or not text.isdecimal() or int(text) < 1:
            raise UsageError(f"set={setting!r}: give NAME=VALUE, a size at the top of the file and a whole number")
        found[name] = int(text)
    return found


def _print(console: Console, answer: dict[str, Any]) -> None:
    sizes = " ".join(f"{axis}={size}" for axis, size in answer["sizes"].items())
    lines = [f"{answer['target']}: {sizes}", f"axes: {' '.join(answer['axes']) or 'none, every size is fixed'}"]
    if answer["regimes_without_finite_answers"]:
        dropped = ", ".join(answer["regimes_without_finite_answers"])
        lines.append(f"left out, as its answers there are not finite: {dropped} values")
    lines += [*answer["notes"], f"imported into {answer['folder']}; every judgement of it runs its problem.py again"]
    lines.append(f"next: kernelsearch targets show {answer['folder']} --abi")
    console.print("\n".join(lines), markup=False)
