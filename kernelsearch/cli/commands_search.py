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
    Threads,
    Workload,
    finish,
)
from kernelsearch.errors import UsageError


def optimize(
    target: Annotated[
        str | None, typer.Argument(help="A target's name, or the folder of your own target; none with --all.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every target of the configuration --workload, the most promising first.")
    ] = False,
    language: Annotated[Language, typer.Option(help="Language of the candidates.")] = Language.CPP,
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    budget: Annotated[
        str | None, typer.Option(help="Time to search, such as 90s, 10m, 2h (default: 75s; with --all 20m).")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop after this many candidates.")] = None,
    proposer: Annotated[
        str, typer.Option(help="evolve or sweep, with random search beside them, or random; with --all alone.")
    ] = "sweep",
    candidate: Annotated[
        list[Path] | None, typer.Option(help="More to start from: a source, or an accepted kernel's folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the proposers; the judge's seeds are its own.")] = 0,
    from_seeds: Annotated[
        bool, typer.Option("--from-seeds", help="With --all: as if no kernel had been accepted before.")
    ] = False,
    race: Annotated[
        bool, typer.Option("--race/--no-race", help="With --all: measure the training step, and race, at the end.")
    ] = True,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Search for a faster kernel, prove it equal, and keep the best."""
    files = tuple(candidate or ())
    if (target is None) != all_:
        raise UsageError("optimize: name one target, or give --all for every target")
    if all_:
        if trials is not None or files:
            raise UsageError("optimize --all: --trials and --candidate are for one target")
        from kernelsearch.cli import campaign

        group = workload or "tiny"
        asked = campaign.Request(
            group, str(language), dtype.long, budget or "20m", proposer, seed, from_seeds, race, threads
        )
        finish(*campaign.run(asked), as_json)
    if from_seeds:
        raise UsageError("optimize: --from-seeds is for --all; one target starts from its seeds anyway")
    from kernelsearch.cli import optimize as command

    assert target is not None
    request = command.Request(
        target, str(language), workload, dtype.long, budget or "75s", trials, proposer, files, seed, threads
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
    kind: Annotated[str, typer.Argument(help="What the file is: kernelbench.")],
    file: Annotated[Path, typer.Argument(help="A problem: class Model, get_inputs(), get_init_inputs().")],
    out: Annotated[Path | None, typer.Option(help="Folder to make (default: the problem's name, here).")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Another size for a constant of the file: NAME=VALUE.")
    ] = None,
    timeout: Annotated[str, typer.Option(help="Give up after this time, such as 90s or 10m.")] = "5m",
    as_json: Json = False,
) -> None:
    """Make a target from a KernelBench problem. This executes the problem's file: read it first."""
    from kernelsearch.cli import import_ as command

    finish(*command.run(kind, file, out, tuple(set_ or ()), timeout), as_json)


def targets(
    action: Annotated[str, typer.Argument(help="list or show.")] = "list",
    target: Annotated[str | None, typer.Argument(help="Which target to show.")] = None,
    abi: Annotated[bool, typer.Option("--abi", help="Only the functions that a candidate must export.")] = False,
    as_json: Json = False,
) -> None:
    """List the targets, or show the contract of one."""
    from kernelsearch.cli import targets as command

    finish(*command.run(action, target, abi_only=abi), as_json)
