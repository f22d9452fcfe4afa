"""Commands that find, judge and describe kernels."""

from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.model_options import (
    AgentCommand,
    AgentEnv,
    AgentRead,
    AnswerTokens,
    BaseUrl,
    CallTimeout,
    MaximumCalls,
    MaximumCost,
    Models,
    PricesFile,
    RecordedOnly,
    ReplayFrom,
    ReplayStudy,
)
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
        str,
        typer.Option(
            help="evolve or sweep, with random search beside them; random; llm; command (a coding agent); replay; file."
        ),
    ] = "sweep",
    candidate: Annotated[
        list[Path] | None, typer.Option(help="More to start from: a source, or an accepted kernel's folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the proposers; the judge's seeds are its own.")] = 0,
    idea: Annotated[
        str | None, typer.Option(help="An idea to carry out: its id, or next; closed with what comes of it.")
    ] = None,
    threads: Threads = None,
    model: Models = None,
    base_url: BaseUrl = None,
    answer_tokens: AnswerTokens = 16_384,
    max_calls: MaximumCalls = None,
    max_cost: MaximumCost = None,
    prices: PricesFile = None,
    replay: RecordedOnly = False,
    agent_command: AgentCommand = None,
    agent_read: AgentRead = None,
    agent_env: AgentEnv = None,
    call_timeout: CallTimeout = "10m",
    from_: ReplayFrom = None,
    study: ReplayStudy = None,
    as_json: Json = False,
) -> None:
    """Search for a faster kernel, prove it equal, and keep the best."""
    from kernelsearch.cli import optimize as command
    from kernelsearch.cli.proposers import ModelOptions
    from kernelsearch.cli.workplace import parse_seconds

    options = ModelOptions(
        models=tuple(model or ()),
        base_url=base_url,
        answer_tokens=answer_tokens,
        maximum_calls=max_calls,
        maximum_cost=max_cost,
        prices=prices,
        replay=replay,
        agent_command=agent_command,
        agent_read=tuple(agent_read or ()),
        agent_env=tuple(agent_env or ()),
        call_seconds=parse_seconds(call_timeout, "call-timeout"),
        source=from_,
        study=study,
    )
    files = tuple(candidate or ())
    request = command.Request(
        target, str(language), workload, dtype.long, budget, trials, proposer, files, seed, threads, options
    )
    if idea is not None:
        from kernelsearch.cli import optimize_idea

        finish(*optimize_idea.run(idea, request, command.run), as_json)
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
    quick: Annotated[
        bool, typer.Option("--quick", help="The cheap gates alone: proves nothing, times nothing.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="If it is accepted, judge it again from scratch and keep it in the store.")
    ] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Judge one candidate: every gate, then the clock. Status 0 if it is equal, with --keep if it was kept."""
    from kernelsearch.cli import check as command

    name = None if language is None else language.value
    request = command.Request(
        file, target, workload, dtype.long, tuple(set_ or ()), threads, name, is_quick=quick, keeps=keep
    )
    finish(*command.run(request), as_json)


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
