"""`kernelsearch targets`: the list, and the contract of one."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kernelsearch.build.abi import describe_abi, functions
from kernelsearch.cli.own import find_folder
from kernelsearch.cli.workplace import find_state_dir
from kernelsearch.errors import UsageError
from kernelsearch.spec import (
    Entry,
    TargetFolder,
    TensorSpec,
    library_path,
    read_candidate,
    target_names,
    tunable_space,
)


def run(action: str, name: str | None, *, abi_only: bool, skeleton: Path | None = None) -> tuple[dict[str, Any], int]:
    if action not in ("list", "show"):
        raise UsageError(f"action={action!r}: use `kernelsearch targets` or `kernelsearch targets show TARGET`")
    if action == "list":
        return _list(), 0
    if name is None:
        raise UsageError("target is missing: `kernelsearch targets show TARGET`")
    folder = find_folder(name, library_path(), find_state_dir())
    shown = describe(folder)
    if skeleton is not None:
        write_skeleton(folder, skeleton)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if abi_only:
        console.print(shown["abi"], markup=False)
    else:
        _print(console, folder, shown)
    return shown, 0


def write_skeleton(folder: TargetFolder, file: Path) -> None:
    """A source that compiles, with every function empty; an existing file is left alone."""
    parts = [f"// {folder.target.name}: {folder.target.summary}. Row-major tensors; see docs/tutorial.md."]
    for function in functions(folder.target, ""):
        arguments = ", ".join(argument.declaration for argument in function.arguments)
        unused = " ".join(f"(void){argument.name};" for argument in function.arguments)
        parts.append(f'\nextern "C" void {function.symbol}({arguments}) {{\n    {unused}\n}}')
    try:
        with file.open("x") as stream:
            stream.write("\n".join(parts) + "\n")
    except FileExistsError:
        raise UsageError(f"skeleton={str(file)!r}: exists already; name another file") from None


def _list() -> dict[str, Any]:
    root = library_path()
    folders = [TargetFolder(root / name) for name in target_names(root)]
    table = Table("target", "what it computes", "workloads", "cpp seeds", box=None)
    rows = []
    for folder in folders:
        groups = sorted({w.group for w in folder.workloads(None, "float32")})
        seeds = sorted(folder.seeds("cpp"))
        rows.append({"name": folder.target.name, "summary": folder.target.summary, "groups": groups, "seeds": seeds})
        table.add_row(folder.target.name, folder.target.summary, " ".join(groups), " ".join(seeds))
    Console(stderr=True).print(table)
    return {"targets": rows}


def describe(folder: TargetFolder) -> dict[str, Any]:
    target = folder.target
    return {
        "name": target.name,
        "summary": target.summary,
        "entries": [_entry(entry) for entry in target.entries],
        "constraints": list(target.constraints),
        "accumulator": dict(target.accumulator),
        "stored": {dtype: list(what) for dtype, what in target.stored.items()},
        "abi": describe_abi(target, ""),
        "workloads": [w.as_json() for w in folder.workloads(None, "float32")],
        "seeds": {
            stem: {
                "tunables": {n: list(v) for n, v in tunable_space(text).items()},
                "abi": describe_abi(target, read_candidate(target.name, "cpp", text, stem).declared),
            }
            for stem, text in folder.seeds("cpp").items()
        },
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "axes": {a.name: {"minimum": a.minimum, "maximum": a.maximum, "multiple": a.multiple} for a in entry.axes},
        "inputs": [_tensor(t) for t in entry.inputs],
        "outputs": [_tensor(t) for t in entry.outputs],
        "updates": list(entry.updates),
        "parameters": {p.name: p.kind for p in entry.parameters},
        "gradients": list(entry.gradients),
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "axes": list(spec.axes), "dtype": spec.dtype}


def _print(console: Console, folder: TargetFolder, shown: dict[str, Any]) -> None:
    console.print(f"[bold]{shown['name']}[/bold]: {shown['summary']}")
    console.print((folder.module("target").__doc__ or "").strip(), markup=False)
    console.print("\nA candidate exports (scalar_t is float or bfloat16_t), after the tensors it declares to save:")
    console.print(shown["abi"], markup=False)
    console.print("\nDeclarations in comment lines of the source:")
    console.print("  // tune: NAME in 8 16 32        a tunable, compiled as a macro; the first value is the default")
    console.print("  // saves: NAME DTYPE AXES...    a tensor that the forward leaves for the backward")
    for dtype, what in shown["stored"].items():
        console.print(f"\nIn {dtype} these may be rounded on the way: {'; '.join(what)}", markup=False)
    for stem, seed in shown["seeds"].items():
        space = "; ".join(f"{n} in {' '.join(map(str, v))}" for n, v in seed["tunables"].items())
        console.print(f"\nseed {stem}: {space or 'no tunables'}", markup=False)
