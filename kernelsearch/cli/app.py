"""The commands, and what becomes of their errors.

A command's options are in the `commands_` module of its group; what it does is in a module of its own, imported when it
runs: importing torch takes seconds, so `--help` must not.
"""

import sys

import typer

from kernelsearch.cli import (
    commands_continuous,
    commands_evidence,
    commands_ideas,
    commands_optimize,
    commands_search,
    commands_training,
)
from kernelsearch.errors import KernelSearchError

INTERRUPTED = 130

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Finds faster kernels for training hot paths and proves them equal.",
)
for command in (
    commands_optimize.optimize,
    commands_search.check,
    commands_search.targets,
    commands_training.bench,
    commands_training.train,
    commands_training.race,
    commands_training.run,
    commands_continuous.compare,
    commands_continuous.bisect,
    commands_continuous.history,
    commands_evidence.report,
    commands_evidence.dashboard,
    commands_evidence.verify,
    commands_evidence.scorecard,
    commands_evidence.doctor,
):
    app.command()(command)
app.command("import")(commands_search.import_)
app.command()(commands_ideas.mcp)
app.add_typer(commands_ideas.app, name="ideas")


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


def _fail(message: str, status: int) -> None:
    from kernelsearch.cli.extras import with_exact_commands

    sys.stderr.write(f"kernelsearch: {with_exact_commands(message)}\n")
    sys.exit(status)
