"""What every proposer must do, yours too. Subclass it in a test file, say how yours is made, and pytest does the rest:

    from kernelsearch.search.conformance import ProposerConformance

    class TestMine(ProposerConformance):
        def make(self, seeds, seed):
            return MyProposer(seeds, seed)

`seeds` are candidates to start from, `seed` is all the chance there may be. A proposer that asks someone outside, such
as a language model, is tested on recorded answers. Nothing is built or run: `Judge` is a function of the tunables.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.digest import canonical_json
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import Budget, Proposer, Trial, run_study
from kernelsearch.spec import Candidate, Status, Verdict, read_candidate, tunable_space


def seed_source(name: str, **tunables: list[int]) -> str:
    lines = [f"// tune: {key} in {' '.join(map(str, values))}" for key, values in tunables.items()]
    return "\n".join([*lines, f"// {name}"])


def make_seed(name: str, **tunables: list[int]) -> Candidate:
    return read_candidate("toy", "cpp", seed_source(name, **tunables), name)


def make_verdict(candidate: Candidate, low: float | None, status: Status = Status.PASSED) -> Verdict:
    accepted = status is Status.PASSED and low is not None and low > 1
    return Verdict("toy", candidate.digest, "cpp", "float32", status, "", 0.0, accepted=accepted, low=low, high=low)


class Judge:
    """Counts what it judged; `low` gives the score of a candidate, None a rejection."""

    def __init__(self, low: Callable[[Candidate], float | None]) -> None:
        self.low = low
        self.judged: list[str] = []

    def __call__(self, candidate: Candidate, to_beat: float | None = None) -> Verdict:
        self.judged.append(candidate.digest)
        low = self.low(candidate)
        return make_verdict(candidate, low, Status.MISMATCH if low is None else Status.PASSED)


def hill(candidate: Candidate) -> float | None:
    """One optimum at the middle of every tunable; a corner is rejected."""
    distance = sum(abs(value - 4) for value in candidate.tunables.values() if isinstance(value, int))
    score = 2.0 - distance / 10
    return None if score < 1.0 else score


SEEDS = (
    make_seed("a", X=[0, 1, 2, 3, 4, 5], Y=[4, 0, 8]),
    make_seed("b", X=[1, 2], Z=[3, 4, 5]),
    make_seed("c"),
)
ENOUGH = 200


def draw(
    proposer: Proposer, judge: Callable[[Candidate], Verdict], limit: int = ENOUGH, history: Sequence[Trial] = ()
) -> list[Trial]:
    """The trials of one proposer until it has no more to propose; `history` came before."""
    trials: list[Trial] = []
    while len(trials) < limit and (candidate := proposer.ask([*history, *trials])) is not None:
        trials.append(Trial(candidate, judge(candidate), proposer.name, False))
        proposer.tell(trials[-1])
    return trials


def asked(trials: Sequence[Trial]) -> list[str]:
    return [trial.candidate.digest for trial in trials]


class ProposerConformance(ABC):
    @abstractmethod
    def make(self, seeds: Sequence[Candidate], seed: int) -> Proposer: ...

    def test_it_proposes_something(self) -> None:
        assert draw(self.make(SEEDS, 0), Judge(hill))

    def test_candidates_are_for_the_target_of_the_seeds(self) -> None:
        assert {t.candidate.target for t in draw(self.make(SEEDS, 0), Judge(hill))} == {"toy"}

    def test_every_declared_tunable_is_bound_to_a_declared_value(self) -> None:
        candidates = [trial.candidate for trial in draw(self.make(SEEDS, 0), Judge(hill))]
        assert all(c.tunables.keys() == tunable_space(c.source).keys() for c in candidates)
        assert all(value in tunable_space(c.source)[name] for c in candidates for name, value in c.tunables.items())

    @pytest.mark.parametrize("seed", range(5))
    def test_no_digest_is_asked_twice(self, seed: int) -> None:
        found = asked(draw(self.make(SEEDS, seed), Judge(hill)))
        assert len(set(found)) == len(found)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_same_seed_and_verdicts_ask_the_same_questions(self, seed: int) -> None:
        first, second = (asked(draw(self.make(SEEDS, seed), Judge(hill))) for _ in range(2))
        assert first == second

    def test_the_history_of_others_is_no_obstacle(self) -> None:
        others = [Trial(s, make_verdict(s, 1.2), "somebody", False) for s in SEEDS]
        assert draw(self.make(SEEDS, 0), Judge(hill), history=others)

    @pytest.mark.parametrize("status", [s for s in Status if s is not Status.PASSED])
    def test_it_goes_on_when_everything_fails(self, status: Status) -> None:
        judge = Judge(lambda candidate: None)
        found = draw(self.make(SEEDS, 0), lambda candidate: replace(judge(candidate), status=status))
        assert len(found) == len(draw(self.make(SEEDS, 0), Judge(hill)))

    def test_a_passed_candidate_without_a_time_is_survived(self) -> None:
        assert draw(self.make(SEEDS, 0), lambda candidate: make_verdict(candidate, None))

    def test_once_exhausted_it_stays_exhausted(self) -> None:
        proposer = self.make(SEEDS, 0)
        trials = draw(proposer, Judge(hill), limit=10_000)
        assert [proposer.ask(trials) for _ in range(3)] == [None] * 3

    def test_its_settings_can_be_recorded(self) -> None:
        assert canonical_json({**self.make(SEEDS, 0).describe(), "name": self.make(SEEDS, 0).name})

    @pytest.mark.parametrize("stopped_after", [1, 4, 7])
    def test_a_study_that_stopped_goes_on_where_it_was(self, stopped_after: int, tmp_path: Path) -> None:
        whole, before, after = Judge(hill), Judge(hill), Judge(hill)
        self.run_study(tmp_path / "whole", whole, 10)
        self.run_study(tmp_path / "parts", before, stopped_after)
        self.run_study(tmp_path / "parts", after, 10)
        assert before.judged + after.judged == whole.judged

    def run_study(self, folder: Path, judge: Judge, trials: int) -> None:
        folder.mkdir(exist_ok=True)
        ledger, objects = Ledger(folder / "ledger.jsonl"), Objects(folder / "objects")
        run_study([self.make(SEEDS, 0)], judge, ledger, context={}, budget=Budget(trials=trials), objects=objects)
