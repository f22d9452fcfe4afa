"""How figures and foreign text are shown.

Compiler messages, counterexamples and file names come from candidates: they are data. As `Text` they carry no markup,
and control characters, which could move the cursor or set the window's title, are shown as escapes.
"""

import sys

from rich.console import Console
from rich.text import Text

from kernelsearch.spec import Candidate, Status, Verdict

PLAIN_WIDTH = 120


def open_console(*, stderr: bool) -> Console:
    """A console that guesses no colours; where no terminal is behind it, lines are PLAIN_WIDTH wide."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else PLAIN_WIDTH)


def shown(text: str) -> str:
    """`text` with whatever is not printable as an escape; line ends stay."""
    plain = text.replace("\t", "    ")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in plain)


def foreign(text: str, style: str = "") -> Text:
    return Text(shown(text), style=style)


def format_interval(value: float | None, low: float | None, high: float | None) -> str:
    """ "1.234x [1.210, 1.258]", or "-" where nothing was measured."""
    if value is None or low is None or high is None:
        return "-"
    return f"{value:.3f}x [{low:.3f}, {high:.3f}]"


def format_ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}x"


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def format_us(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def format_bytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.0f} MiB"


def name_candidate(candidate: Candidate) -> str:
    """Where it came from and how its tunables are bound: "tiled BLOCK_K=64 BLOCK_Q=32"."""
    bound = [f"{name}={value}" for name, value in sorted(candidate.tunables.items())]
    return " ".join([candidate.origin, *bound])


def name_outcome(verdict: Verdict) -> str:
    """The status, and the gate that ended the trial where one did."""
    failed = [gate.name for gate in verdict.gates if not gate.passed]
    return f"{verdict.status} at {failed[-1]}" if failed else str(verdict.status)


def style_of(status: Status) -> str:
    return {Status.PASSED: "green", Status.SLOWER: "default", Status.INFRASTRUCTURE: "yellow"}.get(status, "red")
