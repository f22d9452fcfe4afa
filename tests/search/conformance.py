"""What every proposer must do. Subclass it, say how yours is made, and pytest does the rest:

class TestMine(ProposerConformance):
    def make(self, seeds, seed):
        return MyProposer(seeds, seed)

`seeds` are candidates to start from, `seed` is all the chance there may be. A proposer that asks someone outside, such
as a language model, is tested on recorded answers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.digest import canonical_json
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import Budget, Proposer, Trial, run_study
from kernelsearch.spec import Candidate, Status, tunable_space
from tests.search.conftest import Judge, hill, make_seed, make_verdict

SEEDS = (
    make_seed("a", X=[0, 1, 2, 3, 4, 5], Y=[4, 0, 8]),
    make_seed("b", X=[1, 2], Z=[3, 4, 5]),
    make_seed("c"),
)
ENOUGH = 200


def draw(proposer: Proposer, judge: Judge, limit: int = ENOUGH, history: Sequence[Trial] = ()) -> list[Trial]:
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

    def test_it_proposes_something(self):
        assert draw(self.make(SEEDS, 0), Judge(hill))

    def test_candidates_are_for_the_target_of_the_seeds(self):
        assert {t.candidate.target for t in draw(self.make(SEEDS, 0), Judge(hill))} == {"toy"}

    def test_every_declared_tunable_is_bound_to_a_declared_value(self):
        candidates = [trial.candidate for trial in draw(self.make(SEEDS, 0), Judge(hill))]
        assert all(c.tunables.keys() == tunable_space(c.source).keys() for c in candidates)
        assert all(value in tunable_space(c.source)[name] for c in candidates for name, value in c.tunables.items())

    @pytest.mark.parametrize("seed", range(5))
    def test_no_digest_is_asked_twice(self, seed):
        found = asked(draw(self.make(SEEDS, seed), Judge(hill)))
        assert len(set(found)) == len(found)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_same_seed_and_verdicts_ask_the_same_questions(self, seed):
        first, second = (asked(draw(self.make(SEEDS, seed), Judge(hill))) for _ in range(2))
        assert first == second

    def test_the_history_of_others_is_no_obstacle(self):
        others = [Trial(s, make_verdict(s, 1.2), "somebody", False) for s in SEEDS]
        assert draw(self.make(SEEDS, 0), Judge(hill), history=others)

    @pytest.mark.parametrize("status", [s for s in Status if s is not Status.PASSED])
    def test_it_goes_on_when_everything_fails(self, status):
        judge = Judge(lambda candidate: None)
        refuse = lambda candidate: replace(judge(candidate), status=status)  # noqa: E731
        found = draw(self.make(SEEDS, 0), refuse)
        assert len(found) == len(draw(self.make(SEEDS, 0), Judge(hill)))

    def test_a_passed_candidate_without_a_time_is_survived(self):
        assert draw(self.make(SEEDS, 0), lambda candidate: make_verdict(candidate, None))

    def test_once_exhausted_it_stays_exhausted(self):
        proposer = self.make(SEEDS, 0)
        trials = draw(proposer, Judge(hill), limit=10_000)
        assert [proposer.ask(trials) for _ in range(3)] == [None] * 3

    def test_its_settings_can_be_recorded(self):
        assert canonical_json({**self.make(SEEDS, 0).describe(), "name": self.make(SEEDS, 0).name})

    @pytest.mark.parametrize("stopped_after", [1, 4, 7])
    def test_a_study_that_stopped_goes_on_where_it_was(self, stopped_after, tmp_path):
        whole, before, after = Judge(hill), Judge(hill), Judge(hill)
        self.run_study(tmp_path / "whole", whole, 10)
        self.run_study(tmp_path / "parts", before, stopped_after)
        self.run_study(tmp_path / "parts", after, 10)
        assert before.judged + after.judged == whole.judged

    def run_study(self, folder: Path, judge: Judge, trials: int) -> None:
        folder.mkdir(exist_ok=True)
        ledger, objects = Ledger(folder / "ledger.jsonl"), Objects(folder / "objects")
        run_study([self.make(SEEDS, 0)], judge, ledger, context={}, budget=Budget(trials=trials), objects=objects)
