"""A study or a campaign with a judge that answers after a moment, to be killed: `python -m tests.search.stub_campaign`.

Arguments: folder; study, model (a study by one) or campaign; seconds a verdict takes; trials of a study. Every
candidate that was judged is a line of the file "judged", written before its verdict is known to anybody. The first
judged one is announced on standard output.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import (
    Budget,
    EvolveProposer,
    Finalist,
    Proposer,
    Standing,
    StudyResult,
    SurrogateProposer,
    Visit,
    Visited,
    Work,
    choose_finalists,
    run_campaign,
    run_study,
)
from kernelsearch.spec import Candidate, Verdict
from tests.search.conftest import make_seed, make_verdict

TARGETS = ("a", "b", "c")
WIDE = list(range(20))


class SlowJudge:
    def __init__(self, folder: Path, seconds: float) -> None:
        self.file, self.seconds, self.is_announced = folder / "judged", seconds, False

    def __call__(self, candidate: Candidate, to_beat: float | None) -> Verdict:
        if not self.is_announced:
            print("judging", flush=True)
            self.is_announced = True
        with self.file.open("a") as file:
            file.write(candidate.digest + "\n")
        time.sleep(self.seconds)
        return make_verdict(candidate, 1.5 - abs(candidate.tunables["X"] - 13) / 20)


def study(folder: Path, judge: SlowJudge, budget: Budget, name: str, values: int) -> StudyResult:
    proposer = EvolveProposer([make_seed(name, X=WIDE, Y=list(range(values)))], seed=0)
    return study_by(proposer, folder, judge, budget, name)


def study_by(proposer: Proposer, folder: Path, judge: SlowJudge, budget: Budget, name: str) -> StudyResult:
    ledger, objects = Ledger(folder / "ledger.jsonl"), Objects(folder / "objects")
    return run_study([proposer], judge, ledger, context={"target": name}, budget=budget, objects=objects)


def campaign(folder: Path, judge: SlowJudge) -> str:
    """Three targets of 20 points each, to the end."""

    def visit(visit: Visit) -> Visited:
        result = study(folder, judge, Budget(trials=len(judged(folder)) + 7), visit.standing.target, 1)
        is_all = len(result.trials) == 20 and result.reason == "exhausted"
        return Visited(result.trials, is_all, is_interrupted=False, finalists=choose_finalists(result.trials, ()))

    def settle(standing: Standing, finalists: Sequence[Finalist]) -> dict[str, int]:
        with (folder / "settled").open("a") as file:
            file.write(standing.target + "\n")
        return {"trials": standing.trials}

    standings = [Standing(name, eager_us=100.0 * (i + 1), light_us=10.0) for i, name in enumerate(TARGETS)]
    ledger = Ledger(folder / "ledger.jsonl")
    return run_campaign(standings, Work(visit, settle, {}), ledger, settings={"toy": 1}, budget_s=1e6).reason


def judged(folder: Path) -> list[str]:
    """Digests of what was judged, in order."""
    file = folder / "judged"
    return file.read_text().split() if file.exists() else []


if __name__ == "__main__":
    where, kind, seconds, trials = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    if kind == "study":
        study(where, SlowJudge(where, seconds), Budget(trials=trials), "toy", 20)
    elif kind == "model":
        model = SurrogateProposer([make_seed("toy", X=WIDE, Y=WIDE, Z=WIDE)], seed=0)
        study_by(model, where, SlowJudge(where, seconds), Budget(trials=trials), "toy")
    else:
        assert campaign(where, SlowJudge(where, seconds)) == "exhausted"
