"""Commands of the queue of ideas."""

from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.model_options import (
    AnswerTokens,
    BaseUrl,
    CallTimeout,
    MaximumCalls,
    MaximumCost,
    Models,
    PricesFile,
    RecordedOnly,
)
from kernelsearch.cli.options import Config, Dtype, DtypeOption, Json, Threads, finish

app = typer.Typer(no_args_is_help=True, help="The single queue of ideas: file, list, claim, try, close.")

IdeaId = Annotated[str, typer.Argument(help="An idea's id, or its first digits.")]
Target = Annotated[str | None, typer.Option(help="Only ideas for this target.")]
Worker = Annotated[str | None, typer.Option(help="Who you are (default: user@host).")]
Author = Annotated[str | None, typer.Option(help="Who had the idea (default: user@host).")]
Force = Annotated[bool, typer.Option("--force", help="File it although one like it is there.")]


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help="open, claimed, closed or all.")] = "open",
    target: Target = None,
    as_json: Json = False,
) -> None:
    """The ideas, those first that should gain a training step most."""
    from kernelsearch.cli import ideas as command

    finish(*command.list_ideas(state, target), as_json)


@app.command()
def show(idea: IdeaId, as_json: Json = False) -> None:
    """All that is known of one idea."""
    from kernelsearch.cli import ideas as command

    finish(*command.show(idea), as_json)


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What to try, in a sentence or two.")],
    target: Annotated[str, typer.Option(help="The target it is for.")],
    predicts: Annotated[
        str | None, typer.Option(help="1.25x, -20% (of the target's time), or -0.3ms (of a training step).")
    ] = None,
    against: Annotated[str, typer.Option(help="What the prediction is relative to: best kernel or baseline.")] = "best",
    source: Annotated[str, typer.Option(help="Where it comes from: a link, a citation.")] = "",
    author: Author = None,
    device: Annotated[str, typer.Option(help="Where it can be tried: any, cpu or cuda.")] = "any",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """File an idea."""
    from kernelsearch.cli import ideas as command

    finish(*command.add(text, target, predicts, against, source, author, device, force=force), as_json)


@app.command()
def claim(
    idea: Annotated[str | None, typer.Argument(help="Which one (default: the best open one).")] = None,
    target: Target = None,
    device: Annotated[str, typer.Option(help="Ideas that can be tried here: cpu, cuda, or all.")] = "cpu",
    hours: Annotated[float, typer.Option(help="How long it is yours.")] = 2.0,
    worker: Worker = None,
    as_json: Json = False,
) -> None:
    """Take an idea for a while: nobody else gets it before the time is over. Status 1 where nothing is open."""
    from kernelsearch.cli import ideas as command

    finish(*command.claim(idea, target, device, 3600 * hours, worker), as_json)


@app.command()
def release(idea: IdeaId, worker: Worker = None, as_json: Json = False) -> None:
    """Give a claimed idea back untried."""
    from kernelsearch.cli import ideas as command

    finish(*command.release(idea, worker), as_json)


@app.command()
def close(
    idea: IdeaId,
    outcome: Annotated[str | None, typer.Option(help="faster, equal, slower, wrong or abandoned.")] = None,
    candidate: Annotated[
        str | None, typer.Option(help="Digest of the candidate that tried it: outcome and figures from the ledger.")
    ] = None,
    speedup: Annotated[float | None, typer.Option(help="A figure of your own, against the baseline.")] = None,
    low: Annotated[float | None, typer.Option(help="Lower end of its interval.")] = None,
    high: Annotated[float | None, typer.Option(help="Upper end of its interval.")] = None,
    note: Annotated[str, typer.Option(help="What was learned.")] = "",
    worker: Worker = None,
    as_json: Json = False,
) -> None:
    """End an idea with what came of it; negative results stay and are shown to who claims next."""
    from kernelsearch.cli import ideas as command

    finish(*command.close(idea, outcome, candidate, (speedup, low, high), note, worker), as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="[[idea]] tables in TOML, or a list of objects in JSON.")],
    author: Author = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """File a list of ideas; what is there already is left out."""
    from kernelsearch.cli import ideas as command

    finish(*command.import_ideas(file, author, force=force), as_json)


@app.command()
def read(
    folder: Annotated[Path, typer.Argument(help="Text, Markdown, patches, PDF (with the extra `papers`).")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be filed, and file nothing.")] = False,
    model: Models = None,
    base_url: BaseUrl = None,
    answer_tokens: AnswerTokens = 16_384,
    max_calls: MaximumCalls = None,
    max_cost: MaximumCost = None,
    prices: PricesFile = None,
    replay: RecordedOnly = False,
    call_timeout: CallTimeout = "10m",
    budget: Annotated[str | None, typer.Option(help="Time to read, such as 10m (default: no limit).")] = None,
    as_json: Json = False,
) -> None:
    """Read a folder for ideas, by rules: notes with a `target:` line, and sentences that report a gain.

    With --model a language model reads instead; an idea counts only if its quotation stands where it says.
    """
    from kernelsearch.cli import ideas_read as command
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
        call_seconds=parse_seconds(call_timeout, "call-timeout"),
    )
    seconds = None if budget is None else parse_seconds(budget, "budget")
    finish(*command.run(folder, is_trial=dry_run, options=options if model else None, seconds=seconds), as_json)


@app.command()
def report(as_json: Json = False) -> None:
    """Predicted against measured, of every idea that was tried."""
    from kernelsearch.cli import ideas as command

    finish(*command.report(), as_json)


@app.command()
def shares(
    config: Config = "tiny",
    steps: Annotated[int, typer.Option(min=1, help="Training steps to measure.")] = 8,
    dtype: DtypeOption = Dtype.FP32,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure how much of a training step each target takes; the queue's order follows from it."""
    from kernelsearch.cli import ideas_shares as command

    finish(*command.run(config, steps, dtype.long, threads), as_json)


def mcp(
    http: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="Serve HTTP at this port of 127.0.0.1, not standard input.")
    ] = None,
) -> None:
    """Serve the judge, the queue and the store to a coding agent by the Model Context Protocol."""
    from kernelsearch.cli import mcp as command

    command.run(http)
