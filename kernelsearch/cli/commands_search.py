"""Commands that find, judge and describe kernels."""

from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.options import (
    CandidateLanguage,
    Dtype,
    DtypeOption,
    Json,
    Language,
    TargetName,
    Threads,
    Workload,
    finish,
)


def optimize(
    target: TargetName,
    language: Annotated[Language, typer.Option(help="Language of the candidates.")] = Language.CPP,
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    budget: Annotated[str, typer.Option(help="Time to search, such as 90s, 10m, 2h.")] = "75s",
    trials: Annotated[int | None, typer.Option(min=1, help="Stop after this many candidates.")] = None,
    proposer: Annotated[
        str, typer.Option(help="evolve or sweep, with random search beside them, or random.")
    ] = "sweep",
    candidate: Annotated[
        list[Path] | None, typer.Option(help="More to start from: a source, or an accepted kernel's folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the proposers; the judge's seeds are its own.")] = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Search for a faster kernel, prove it equal, and keep the best."""
    from kernelsearch.cli import optimize as command

    request = command.Request(
        target, str(language), workload, dtype.long, budget, trials, proposer, tuple(candidate or ()), seed, threads
    )
    finish(*command.run(request), as_json)


def check(
    file: Annotated[Path, typer.Argument(help="Source of one candidate.")],
    target: Annotated[str, typer.Option(help="The target it is for.")],
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Bind a tunable: NAME=VALUE; may be repeated.")
    ] = None,
    language: Annotated[
        CandidateLanguage | None, typer.Option(help="Language of the file (default: seen in it).")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Judge one candidate: every gate, then the clock. Status 0 if it is equal."""
    from kernelsearch.cli import check as command

    name = None if language is None else language.value
    finish(*command.run(file, target, workload, dtype.long, tuple(set_ or ()), threads, name), as_json)


def import_(
    kind: Annotated[str, typer.Argument(help="What it is: kernelbench or function.")],
    file: Annotated[
        str, typer.Argument(help="A problem (class Model, get_inputs(), get_init_inputs()), or FILE.py:NAME.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to make (default: its name, here).")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Another size for a constant of the file: NAME=VALUE.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Give up after this time, such as 90s or 10m.")] = "5m",
    as_json: Json = False,
) -> None:
    """Make a target from a KernelBench problem or a function. This executes the file: read it first."""
    from kernelsearch.cli import import_ as command

    finish(*command.run(kind, file, out, tuple(set_ or ()), timeout), as_json)


def targets(
    action: Annotated[str, typer.Argument(help="list or show.")] = "list",
    target: Annotated[str | None, typer.Argument(help="Which target to show.")] = None,
    abi: Annotated[bool, typer.Option("--abi", help="Only the functions that a candidate must export.")] = False,
    skeleton: Annotated[
        Path | None, typer.Option(help="Also write a source with these functions, to be filled in, to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the targets, or show the contract of one."""
    from kernelsearch.cli import targets as command

    finish(*command.run(action, target, abi_only=abi, skeleton=skeleton), as_json)
