"""Commands and their options; what they do is in the module of the command, imported when it runs.

Importing torch takes seconds, so `--help` must not: only typer is imported here.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kernelsearch.errors import KernelSearchError

INTERRUPTED = 130

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Finds faster kernels for training hot paths and proves them equal.",
)


class Dtype(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"

    @property
    def long(self) -> str:
        return {"fp32": "float32", "bf16": "bfloat16"}[self.value]


class Language(StrEnum):
    CPP = "cpp"


class CandidateLanguage(StrEnum):
    CPP = "cpp"
    PYTHON = "python"
    TRITON = "triton"
    CUDA = "cuda"


class Which(StrEnum):
    PROMOTED = "promoted"
    ACCEPTED = "accepted"
    NONE = "none"


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on standard output.")]
TargetName = Annotated[str, typer.Argument(help="A target's name, or the folder of your own target.")]
DtypeOption = Annotated[Dtype, typer.Option(help="Number format of the tensors.")]
Workload = Annotated[str | None, typer.Option(help="Shapes to time: a group such as tiny, or one name.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads for every contender (default: all cores).")]
Config = Annotated[str, typer.Option(help="Training configuration: tiny, d4, d6, d8, d12, d20.")]
Shadow = Annotated[
    float | None, typer.Option(help="Compute this share of the calls again, exactly; a wrong kernel is dropped.")
]
UntilBpb = Annotated[float | None, typer.Option(help="Validation bits per byte to reach (default: calibrated).")]


@app.command()
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
    _finish(*command.run(request), as_json)


@app.command()
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
    _finish(*command.run(file, target, workload, dtype.long, tuple(set_ or ()), threads, name), as_json)


@app.command("import")
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

    _finish(*command.run(kind, file, out, tuple(set_ or ()), timeout), as_json)


@app.command()
def targets(
    action: Annotated[str, typer.Argument(help="list or show.")] = "list",
    target: Annotated[str | None, typer.Argument(help="Which target to show.")] = None,
    abi: Annotated[bool, typer.Option("--abi", help="Only the functions that a candidate must export.")] = False,
    as_json: Json = False,
) -> None:
    """List the targets, or show the contract of one."""
    from kernelsearch.cli import targets as command

    _finish(*command.run(action, target, abi_only=abi), as_json)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Targets (default: all).")] = None,
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also torch.compile; its first run takes minutes.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds per workload and pass.")] = 3.0,
    config: Annotated[str | None, typer.Option(help="Measure whole training steps of this configuration.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="With --config: steps of each mode.")] = 40,
    keep_memory: Annotated[
        bool, typer.Option(help="With --config: malloc keeps what is freed, or is as the system has it.")
    ] = True,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure accepted kernels, as training calls them, against eager, rivals and the speed of light."""
    from kernelsearch.cli import bench as command

    if config is not None:
        from kernelsearch.cli import bench_step

        request = bench_step.Request(config, steps, dtype.long, tuple(names or ()), compiled, keep_memory, threads)
        return _finish(*bench_step.run(request), as_json)
    _finish(*command.run(tuple(names or ()), workload, dtype.long, seconds, threads, compiled=compiled), as_json)


@app.command()
def train(
    config: Config = "tiny",
    kernels: Annotated[Which, typer.Option(help="Which kernels training runs with.")] = Which.PROMOTED,
    until_bpb: UntilBpb = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many optimizer steps in all.")] = None,
    dtype: DtypeOption = Dtype.FP32,
    data: Annotated[Path | None, typer.Option(help="Folder of parquet shards (default: Python's own sources).")] = None,
    checkpoints: Annotated[Path | None, typer.Option(help="Where to save (default: the state folder).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the training run.")] = 1,
    shadow: Shadow = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train nanochat to a loss target, with the kernels that won."""
    from kernelsearch.cli import train as command

    request = command.Request(
        config, str(kernels), until_bpb, steps, dtype.long, data, checkpoints, seed, threads, shadow, is_resumed=resume
    )
    _finish(*command.run(request), as_json)


@app.command()
def run(
    command: Annotated[list[str], typer.Argument(help="After --: -m MODULE or a file, and its arguments.")],
    repo: Annotated[Path, typer.Option(help="Folder of a nanochat checkout; the script starts there.")],
    kernels: Annotated[Which, typer.Option(help="Which kernels to run with.")] = Which.PROMOTED,
    workload: Annotated[str | None, typer.Option(help="Prefer kernels measured at these shapes: tiny, d4, ...")] = None,
    identity: Annotated[bool, typer.Option("--identity", help="Patch, but run upstream's own functions.")] = False,
    shadow: Shadow = None,
    trust: Annotated[Path | None, typer.Option(help="JSON of digests of changed symbols that you vouch for.")] = None,
    keep_memory: Annotated[bool, typer.Option("--keep-memory", help="Let malloc keep what is freed.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what ran to this file.")] = None,
) -> None:
    """Run an unmodified nanochat checkout with the kernels that won; its exit status is this command's."""
    from kernelsearch.cli import run as module

    request = module.Request(
        repo, tuple(command), str(kernels), workload, shadow, trust, json_file, identity, keep_memory
    )
    _finish(*module.run(request), as_json=False)


@app.command()
def race(
    config: Config = "tiny",
    until_bpb: UntilBpb = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to race.")] = 1,
    kernels: Annotated[
        Which, typer.Option(help="accepted: the best that passed; promoted: won before.")
    ] = Which.ACCEPTED,
    target: Annotated[list[str] | None, typer.Option(help="Race the kernels of these targets only.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most this many steps.")] = None,
    dtype: DtypeOption = Dtype.FP32,
    data: Annotated[Path | None, typer.Option(help="Folder of parquet shards.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train twice in lockstep, with and without the kernels, to the same loss; promote them if they win."""
    from kernelsearch.cli import race as command

    request = command.Request(
        config, until_bpb, seeds, str(kernels), tuple(target or ()), steps, dtype.long, data, threads
    )
    _finish(*command.run(request), as_json)


@app.command()
def report(
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown to this file.")] = None,
    as_json: Json = False,
) -> None:
    """What the ledger holds: studies, verdicts, the best kernel of each target."""
    from kernelsearch.cli import report as command

    _finish(*command.run(markdown), as_json)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A ledger, or the folder of an accepted kernel.")],
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Check somebody's claim: a ledger's chain, or an accepted kernel by judging it again here."""
    from kernelsearch.cli import verify as command

    _finish(*command.run(path, threads), as_json)


@app.command()
def scorecard(
    names: Annotated[list[str] | None, typer.Argument(help="Targets (default: those with mistakes of people).")] = None,
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
    _finish(*command.run(request), as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine has, what is missing, and the command that brings it."""
    from kernelsearch.cli import doctor as command

    _finish(*command.run(), as_json)


def main() -> None:
    """The entry point: every error we foresee is one line and the right exit status."""
    try:
        app(standalone_mode=True)
    except KernelSearchError as error:
        _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 3)


def _finish(result: dict[str, Any], status: int, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, sort_keys=False) + "\n")
    raise typer.Exit(status)


def _fail(message: str, status: int) -> None:
    sys.stderr.write(f"kernelsearch: {message}\n")
    sys.exit(status)
