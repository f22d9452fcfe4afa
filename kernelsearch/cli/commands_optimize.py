"""`kernelsearch optimize`: one target, one idea, or every target of a configuration."""

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
from kernelsearch.cli.options import Dtype, DtypeOption, Json, Language, Threads, Workload, finish
from kernelsearch.errors import UsageError

UNATTENDED = "With --all"


def optimize(
    target: Annotated[
        str | None, typer.Argument(help="A target's name, your own function as FILE.py:NAME, or a target's folder.")
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
        str,
        typer.Option(
            help="surrogate, evolve or sweep, random search beside them; random; llm; command (an agent); replay; file."
        ),
    ] = "surrogate",
    candidate: Annotated[
        list[Path] | None, typer.Option(help="More to start from: a source, or an accepted kernel's folder.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the proposers; the judge's seeds are its own.")] = 0,
    idea: Annotated[
        str | None, typer.Option(help="An idea to carry out: its id, or next; closed with what comes of it.")
    ] = None,
    from_seeds: Annotated[
        bool, typer.Option("--from-seeds", help="As if no kernel had been accepted before.", rich_help_panel=UNATTENDED)
    ] = False,
    race: Annotated[
        bool,
        typer.Option(
            "--race/--no-race", help="Measure the training step, and race, at the end.", rich_help_panel=UNATTENDED
        ),
    ] = True,
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
    files = tuple(candidate or ())
    if (target is None) != all_:
        raise UsageError("optimize: name one target, or give --all for every target")
    if all_:
        if trials is not None or files or idea is not None:
            raise UsageError("optimize --all: --trials, --candidate and --idea are for one target")
    elif from_seeds:
        raise UsageError("optimize: --from-seeds is for --all; one target starts from its seeds anyway")
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
    if all_:
        from kernelsearch.cli import campaign

        config = workload or "tiny"
        asked = campaign.Request(
            config, str(language), dtype.long, budget or "20m", proposer, seed, from_seeds, race, threads, options
        )
        finish(*campaign.run(asked), as_json)
    assert target is not None
    request = command.Request(
        target, str(language), workload, dtype.long, budget or "75s", trials, proposer, files, seed, threads, options
    )
    if idea is not None:
        from kernelsearch.cli import optimize_idea

        finish(*optimize_idea.run(idea, request, command.run), as_json)
    finish(*command.run(request), as_json)
