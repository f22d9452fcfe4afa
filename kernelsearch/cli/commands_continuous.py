"""Commands for continuous integration: two versions of a kernel, and figures over time."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.options import BenchmarkAction, Dtype, DtypeOption, Json, JUnit, Threads, Workload, finish


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
    meetings: Meetings = 9,
    prove: Annotated[bool, typer.Option("--prove/--no-prove", help="Also judge the new kernels.")] = True,
    repo: Repository = Path(),
    kernels: Kernels = "kernels",
    markdown: Annotated[Path | None, typer.Option(help="Write a step summary or comment to this file.")] = None,
    junit: JUnit = None,
    benchmark_action: BenchmarkAction = None,
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


def bisect(
    target: Annotated[str, typer.Argument(help="The target whose kernel became slower.")],
    good: Annotated[str, typer.Option(help="A commit at which it was fast.")],
    bad: Annotated[str, typer.Option(help="A later commit at which it is slow.")] = "HEAD",
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    tolerance: Tolerance = 2.5,
    meetings: Meetings = 9,
    repo: Repository = Path(),
    kernels: Kernels = "kernels",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Find the commit at which a kernel became slower, each compared with the good one. Status 0 if one was found."""
    from kernelsearch.cli import bisect as command

    request = command.Request(
        target, good, bad, workload, dtype.long, tolerance / 100, meetings, repo, kernels, threads
    )
    finish(*command.run(request), as_json)


def history(
    results: Annotated[Path, typer.Argument(help="Folder with a folder of result files for each device.")] = Path(
        "bench/results"
    ),
    target: Annotated[list[str] | None, typer.Option(help="Show these only: targets; tiny, d4, ... of steps.")] = None,
    git: Annotated[bool, typer.Option("--git/--no-git", help="Also earlier contents of the files, from git.")] = True,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Ratios to the baseline over dates, commits and machines, from the result files; devices are never mixed."""
    from kernelsearch.cli import history as command

    finish(*command.run(results, tuple(target or ()), markdown, from_git=git), as_json)
