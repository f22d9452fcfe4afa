"""`optimize --all`: how winners are settled, what may still be spent, what its answer says. The judge is a table."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from kernelsearch.cli.campaign import Request, _Campaign
from kernelsearch.cli.campaign_answer import summarise
from kernelsearch.cli.campaign_step import remember_seed
from kernelsearch.cli.proposers import ModelOptions
from kernelsearch.cli.workplace import Workplace
from kernelsearch.digest import digest
from kernelsearch.report.campaign import render_campaign
from kernelsearch.search import CampaignResult, Standing, StudyResult, Trial, choose_finalists, trial_body
from kernelsearch.spec import TargetFolder, library_path, read_candidate
from tests.search.conftest import make_verdict

REQUEST = Request("d4", "cpp", "float32", "1m", "sweep", 0, from_seeds=True, races=False, threads=None)
CONTEXT = {"toy": 1}


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path, library_path(), 1, allocator_tuned=True)


class Settling:
    """A campaign on relu2 whose trials are recorded; `again` says what a second judgement makes of each, by UNROLL."""

    def __init__(self, place: Workplace, again: dict[int, float]) -> None:
        self.folder = TargetFolder(library_path() / "relu2")
        seed = read_candidate("relu2", "cpp", self.folder.seeds("cpp")["streams"], "streams")
        self.seed, found = seed, [seed, seed.bind(UNROLL=1), seed.bind(UNROLL=2)]
        self.trials = [self._trial(candidate, low) for candidate, low in zip(found, (2.0, 2.2, 2.5), strict=True)]
        for trial in self.trials:
            text = place.objects.put(trial.candidate.source)
            place.ledger.append(
                "trial", trial_body(trial.candidate, trial.verdict, text, digest(CONTEXT), "sweep", None)
            )
        self.judged: list[int] = []
        self.place, self.again = place, again
        self.campaign = _Campaign(REQUEST, place, {"relu2": self.folder}, Console(quiet=True))
        object.__setattr__(self.campaign, "_ground", lambda standing: (self.folder, self, CONTEXT))

    def _trial(self, candidate, low: float) -> Trial:
        verdict = replace(make_verdict(candidate, low), language="cpp", target="relu2")
        return Trial(candidate, verdict, "sweep", is_cached=False)

    def settle(self):
        return self.campaign.settle(Standing("relu2", 1000.0, 10.0), choose_finalists(self.trials, {self.seed.digest}))

    def confirm(self, candidate):
        unroll = candidate.tunables["UNROLL"]
        self.judged.append(unroll)
        return self._trial(candidate, self.again[unroll]).verdict

    def close(self) -> None:
        pass


def test_the_winner_is_judged_again_and_kept(place):
    settling = Settling(place, {2: 2.4})
    kept = settling.settle()
    assert (kept["low"], kept["is_seed"], settling.judged) == (2.4, False, [2])
    assert kept["digest"] in {kernel.digest for kernel in place.store.kernels("relu2", "cpu", "float32")}


def test_a_winner_that_was_lucky_gives_way_to_the_seed_as_given(place):
    settling = Settling(place, {2: 1.9, 4: 2.05})
    kept = settling.settle()
    assert (kept["low"], kept["is_seed"], settling.judged) == (2.05, True, [2, 4])


def test_a_winner_that_is_refused_gives_way_to_the_next(place):
    settling = Settling(place, {2: 0.9, 1: 2.1})
    assert (settling.settle()["tunables"]["UNROLL"], settling.judged) == (1, [2, 1])


def test_what_was_judged_again_before_a_kill_is_not_judged_again(place):
    Settling(place, {2: 2.4}).settle()
    killed = Settling(place, {})
    assert (killed.settle()["low"], killed.judged) == (2.4, [])


def test_limits_hold_for_all_targets_together(place):
    request = replace(REQUEST, model=ModelOptions(maximum_calls=10, maximum_cost=1.0))
    left = _Campaign(request, place, {}, Console(quiet=True))._left_to_spend(
        [{"calls": 4, "cost": 0.25}, {"calls": 7, "cost": 0.5}]
    )
    assert (left.maximum_calls, left.maximum_cost) == (0, 0.25)


def test_the_answer_says_what_was_saved_and_what_it_cost(place):
    settling = Settling(place, {2: 2.0})
    study = StudyResult(digest(CONTEXT), tuple(settling.trials), (), 1.0, "budget")
    remember_seed(place, settling.folder, "d4", "float32", study, [settling.seed])
    standings = (Standing("relu2", 1000.0, 10.0, best=2.5, trials=3, seconds=20.0),)
    kept, spending = {"relu2": settling.settle()}, {"relu2": {"calls": 3, "cost": 0.5}}
    result = CampaignResult("c", standings, kept, spending, 40.0, "budget", is_resumed=False)
    shares = {"device": "toy", "step_us": 5000.0, "targets": {"relu2": {"share": 0.2}}}
    answer = summarise(REQUEST, place, [settling.folder], result, shares)
    assert answer["cost"] == {
        "seconds": 40.0,
        "usd": 0.5,
        "calls": 3,
        "saved_us": 500.0,
        "seconds_per_us": 0.08,
        "usd_per_us": 0.001,
    }
    assert answer["proposer"] == REQUEST.proposer
    assert (answer["targets"]["relu2"]["seeds"], answer["targets"]["relu2"]["is_settled"]) == (2.0, True)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_campaign(answer))
    text = console.export_text()
    assert "save 0.5 ms of a step: 0.0800 s of search a microsecond; 3 calls of a model, 0.5000 USD" in text
