"""Commands for continuous integration: two versions of a kernel, and figures over time."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.options import Dtype, DtypeOption, Json, Threads, Workload, finish


class Noisy(StrEnum):
    FAIL = "fail"
    PASS = "pass"


Tolerance = Annotated[float, typer.Option(help="Percent that a kernel may become slower.")]
Meetings = Annotated[int, typer.Option(help="Most pairs of fresh processes for one workload while it stays unclear.")]
Repository = Annotated[Path, typer.Option("--repo", help="The git repository whose commits are compared.")]
Kernels = Annotated[str, typer.Option(help="Folder of the targets in the repository.")]


def compare(
    base: Annotated[str, typer.Argument(help="The old side: a commit, a folder of kernels, or a source.")],
    head: Annotated[str | None, typer.Argument(help="The new side (default: the working tree).")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Compare the kernels of these targets only.")] = None,
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    tolerance: Tolerance = 2.5,
    noisy: Annotated[Noisy, typer.Option(help="What it means when the noise leaves it open.")] = Noisy.FAIL,
    meetings: Meetings = 5,
    prove: Annotated[bool, typer.Option("--prove/--no-prove", help="Also judge the new kernels.")] = True,
    repo: Repository = Path(),
    kernels: Kernels = "kernels",
    markdown: Annotated[Path | None, typer.Option(help="Write a step summary or comment to this file.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    benchmark_action: Annotated[
        Path | None, typer.Option(help="Write what github-action-benchmark reads to this file.")
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compare two commits' kernels in one run. Status 1 if one is slower beyond the tolerance, or wrong."""
    from kernelsearch.cli import compare as command

    request = command.Request(
        base,
        head,
        tuple(target or ()),
        workload,
        dtype.long,
        tolerance / 100,
        meetings,
        noisy is Noisy.FAIL,
        prove,
        repo,
        kernels,
        threads,
        markdown,
        junit,
        benchmark_action,
    )
    finish(*command.run(request), as_json)
