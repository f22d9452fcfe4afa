"""A study of the row_sum target without building anything: the judge is a table, the model a list of answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import Budget, Proposer, StudyResult, run_study
from kernelsearch.search.llm import (
    Answer,
    Asking,
    CallFailed,
    Calls,
    Facts,
    Limits,
    ModelProposer,
    Price,
    Prompt,
    Usage,
)
from kernelsearch.spec import Candidate, Gate, Status, Verdict, read_candidate
from tests.search.llm.answers import SCRIPT

ROW_SUM = Path(__file__).resolve().parents[2] / "sandbox" / "row_sum"
PLAIN = read_candidate("row_sum", "cpp", (ROW_SUM / "seeds" / "plain.cpp").read_text(), "plain")
FACTS = Facts(
    target="row_sum",
    language="cpp",
    dtype="float32",
    summary="scaled sums of rows",
    definition="total_n = scale * sum_d x_nd",
    reference=(ROW_SUM / "reference.py").read_text(),
    abi='extern "C" void row_sum_forward(const scalar_t* x, scalar_t* total, int64_t N, int64_t D, float scale);',
    precision="Inputs and outputs are float32.",
    machine="- a machine",
    workloads="workload | sizes\ntiny/rows | N=512 D=256",
)
PRICE = Price(input=2.0, cached=0.5, written=3.0, output=10.0)
KEY = "sk-canary-0123456789"
DETAILS = {
    Status.MISMATCH: "total has an element further from the exact result than rounding explains",
    Status.GRADIENT: "dx is less precise as a whole than rounding explains",
}


def expected_outcomes() -> dict[str, str]:
    """What should become of each source of the script."""
    found = {}
    for text, outcome in SCRIPT:
        if outcome != "useless":
            found[text.split("```cpp\n")[1].split("```")[0]] = outcome
    return found


def table_judge(candidate: Candidate, to_beat: float | None = None) -> Verdict:
    """The verdict that the script says this source should get; whatever it does not know is right and no faster."""
    outcome = expected_outcomes().get(candidate.source, "right")
    if outcome in ("accepted", "right"):
        return make_verdict(candidate, Status.PASSED, 2.0 if outcome == "accepted" else 0.9)
    return make_verdict(candidate, Status(outcome), None)


def make_verdict(candidate: Candidate, status: Status, low: float | None) -> Verdict:
    is_right = status is Status.PASSED
    return Verdict(
        "row_sum",
        candidate.digest,
        "cpp",
        "float32",
        status,
        "" if is_right else DETAILS.get(status, f"refused with {status}"),
        0.0,
        accepted=low is not None and low > 1,
        counterexample=None if is_right else f"row_sum float32 N=1 D=1: {candidate.digest[:8]}",
        gates=(Gate("smoke", is_right, 0.1),),
        speedup=low,
        low=low,
        high=low,
    )


class Scripted:
    """A client without a network: `reply` turns a prompt into text, or raises CallFailed."""

    provider, answer_tokens = "openai", 1000

    def __init__(self, reply: Callable[[Prompt], str], model: str = "scripted") -> None:
        self.reply, self.model = reply, model
        self.prompts: list[Prompt] = []

    def settings(self) -> dict[str, Any]:
        return {}

    def send(self, prompt: Prompt, timeout_s: float) -> Answer:
        self.prompts.append(prompt)
        return Answer(self.reply(prompt), Usage(600, 400, 0, 200))


def replies(*texts: str) -> Callable[[Prompt], str]:
    left = list(texts)

    def reply(prompt: Prompt) -> str:
        if not left:
            raise CallFailed("nothing more to say", is_permanent=True)
        return left.pop(0)

    return reply


def make_calls(folder: Path, limits: Limits = Limits(), **more: Any) -> Calls:  # noqa: B008
    folder.mkdir(exist_ok=True)
    prices = more.pop("prices", {("openai", "scripted"): PRICE})
    return Calls(Ledger(folder / "ledger.jsonl"), Objects(folder / "objects"), prices, limits, **more)


def make_proposer(
    clients: Sequence[Any], calls: Calls, *, seeds: Sequence[Candidate] = (PLAIN,), name: str = "llm", **how: Any
) -> ModelProposer:
    return ModelProposer(name, seeds, clients, calls, FACTS, Asking(**how))


def study(proposer: Proposer, calls: Calls, trials: int | None = None, context: str = "here") -> StudyResult:
    budget = Budget(trials=trials)
    where = {"place": context}
    return run_study([proposer], table_judge, calls.ledger, context=where, budget=budget, objects=calls.objects)


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return make_calls(tmp_path)
