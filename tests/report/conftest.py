"""Verdicts and a console that writes into memory."""

import io

import pytest
from rich.console import Console, RenderableType

from kernelsearch.search import StudyResult, Trial
from kernelsearch.search.result import trace
from kernelsearch.spec import Candidate, Gate, Measurement, Status, Verdict

SOURCE = "// tune: BLOCK in 8 16\n"
MEASUREMENT = Measurement("tiny/full", "float32", "forward+backward", 1.5, 1.4, 1.6, 20.0, 30.0, 5.0, 0.011, 40, 4.0)


def make_trial(
    block: int, low: float | None, proposer: str = "sweep", origin: str = "tiled", is_cached: bool = False
) -> Trial:
    """A trial that passed with its interval 0.1 wide above `low`; rejected by the ladder where `low` is None."""
    candidate = Candidate("attention", "cpp", SOURCE, {"BLOCK": block}, origin)
    gates = (Gate("build", True, 1.0), Gate("ladder", low is not None, 2.5))
    common = ("attention", candidate.digest, "cpp", "float32")
    if low is None:
        verdict = Verdict(*common, Status.MISMATCH, "too far off", 3.5, counterexample="B=1 T=3", gates=gates)
    else:
        figures = {"speedup": low + 0.05, "low": low, "high": low + 0.1, "accepted": low > 1}
        verdict = Verdict(*common, Status.PASSED, "equal", 3.5, gates=gates, measurements=(MEASUREMENT,), **figures)
    return Trial(candidate, verdict, proposer, is_cached)


def make_result(*trials: Trial, reason: str = "budget") -> StudyResult:
    names = dict.fromkeys(trial.proposer for trial in trials)
    return StudyResult("c" * 64, trials, tuple(trace(name, trials) for name in names), 61.0, reason)


def show(renderable: RenderableType, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=140, force_terminal=True, highlight=False)


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), width=120, highlight=False)
