"""Commands that show and check what was found."""

from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.options import BenchmarkAction, Json, JUnit, Threads, finish


def report(
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown to this file.")] = None,
    junit: JUnit = None,
    benchmark_action: BenchmarkAction = None,
    as_json: Json = False,
) -> None:
    """What the ledger holds: studies, verdicts, the best kernel of each target."""
    from kernelsearch.cli import export
    from kernelsearch.cli import report as command

    export.write(junit, benchmark_action)
    finish(*command.run(markdown), as_json)


def verify(
    path: Annotated[Path, typer.Argument(help="A ledger, or the folder of an accepted kernel.")],
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Check somebody's claim: a ledger's chain, or an accepted kernel by judging it again here."""
    from kernelsearch.cli import verify as command

    finish(*command.run(path, threads), as_json)


def scorecard(
    names: Annotated[
        list[str] | None, typer.Argument(help="Targets (default: those that tests/honest has kernels of).")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="exploits, corpora, clock or verdicts; may be repeated (default: all).")
    ] = None,
    quota: Annotated[int, typer.Option(min=1, help="Wrong kernels to make of each target and dtype.")] = 200,
    decisions: Annotated[int, typer.Option(min=1, help="Decisions of the clock on identical kernels.")] = 200,
    gains: Annotated[int, typer.Option(min=1, help="Decisions of the clock on each planted gain.")] = 60,
    workers: Annotated[int, typer.Option(min=1, help="Processes that judge the corpora.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON document to this file.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure the judge: what it lets through, what it refuses wrongly, what its clock can see. Takes an hour."""
    from kernelsearch.cli import scorecard as command

    request = command.Request(tuple(names or ()), tuple(part or ()), quota, decisions, gains, workers, out, threads)
    finish(*command.run(request), as_json)


def doctor(as_json: Json = False) -> None:
    """What this machine has, what is missing, and the command that brings it."""
    from kernelsearch.cli import doctor as command

    finish(*command.run(), as_json)
