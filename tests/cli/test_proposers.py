"""`optimize --proposer`: which proposers the options make, and which options are refused."""

import os
from dataclasses import replace

import pytest

from kernelsearch.cli.optimize import describe_spending, starting_candidates
from kernelsearch.cli.proposers import Ground, ModelOptions, choose_proposers
from kernelsearch.cli.workplace import Workplace
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import trial_body
from kernelsearch.spec import Measurement, Status, Verdict, find_target, library_path

FOLDER = find_target("relu2", library_path())
SEEDS = starting_candidates(FOLDER, "cpp", ())
LOCAL = ModelOptions(models=("openai/m",), base_url="http://127.0.0.1:9/v1")


@pytest.fixture
def ground(tmp_path, monkeypatch):
    monkeypatch.setattr("kernelsearch.cli.machine.measured_peaks", lambda *_: PEAKS)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    workloads = FOLDER.workloads("tiny", "float32")
    place = Workplace(tmp_path, library_path(), 2, True)
    return Ground(place, FOLDER, "cpp", "float32", workloads, {"a": 1}, SEEDS, SEEDS[1:], 0, 60.0)


class PEAKS:
    """A machine of our own: nothing is measured in a test."""

    flops, bandwidth = 1e11, {1 << 20: 1e10}
    speed_of_light_us = staticmethod(lambda work: 12.5)


def choose(name, ground, options=LOCAL):
    return choose_proposers(name, ground, options, lambda event: None)


REFUSED = [
    ("llm", ModelOptions(), "model is missing"),
    ("llm", replace(LOCAL, models=("gpt",)), "write PROVIDER/NAME"),
    ("llm", replace(LOCAL, base_url=None), "OPENAI_API_KEY is not set"),
    ("llm", replace(LOCAL, models=("openai/a", "anthropic/b")), "models of one provider"),
    ("llm", replace(LOCAL, maximum_cost=1.0), "the price of openai-compatible/m is not known"),
    ("command", ModelOptions(), "agent-command is missing"),
    ("command", ModelOptions(agent_command="sh", agent_env=("NO_SUCH_VARIABLE",)), "this variable is not set"),
    ("command", ModelOptions(agent_command="sh 'a"), "No closing quotation"),
    ("replay", ModelOptions(), "there is no ledger"),
    ("magic", ModelOptions(), "choose from surrogate, evolve, sweep, random, llm, command, replay, file"),
]


@pytest.mark.parametrize(("name", "options", "reason"), REFUSED, ids=[reason for _, _, reason in REFUSED])
def test_options_that_cannot_work_are_refused_in_one_line(name, options, reason, ground):
    with pytest.raises(UsageError, match=reason) as refused:
        choose(name, ground, options)
    assert "\n" not in str(refused.value)


def test_a_key_is_taken_out_of_the_environment_when_it_is_read(ground, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    (proposer,) = choose("llm", ground)

    assert "OPENAI_API_KEY" not in os.environ
    assert "sk-canary" not in repr(proposer.describe())
    assert proposer.calls.secrets == ("sk-canary",)


def test_a_prompt_tells_the_contract_the_machine_and_the_roofline(ground):
    (proposer,) = choose("llm", ground)
    text = proposer._stable
    assert 'extern "C" void relu2_forward(const scalar_t* h' in text
    assert "100 GFLOP/s" in text
    assert "tiny/relu2 (relu2)" in text and "| 12.5 |" in text


def test_what_was_measured_once_is_told_again_the_same(ground, monkeypatch):
    first = choose("llm", ground)[0]._stable
    monkeypatch.setattr(PEAKS, "flops", 9e11)
    assert choose("llm", ground)[0]._stable == first


def test_file_proposes_what_was_given_and_nothing_else(ground):
    (proposer,) = choose("file", ground)
    assert [proposer.ask([]) for _ in range(len(SEEDS))] == [*SEEDS[1:], None]


def test_replay_proposes_what_another_ledger_holds_once_each_in_order(ground, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    ledger, objects = Ledger(other / "ledger.jsonl"), Objects(other / "objects")
    for candidate in (SEEDS[-1], SEEDS[0], SEEDS[-1]):
        verdict = Verdict("relu2", candidate.digest, "cpp", "float32", Status.BUILD, "", 0.0)
        body = trial_body(candidate, verdict, objects.put(candidate.source), "context", "somebody", None)
        ledger.append("trial", body)
    (proposer,) = choose("replay", ground, ModelOptions(source=other))
    assert [proposer.ask([]) for _ in range(3)] == [SEEDS[-1], SEEDS[0], None]


def test_a_winner_is_worth_what_it_saves_in_a_training_step(ground):
    (proposer,) = choose("llm", ground)
    measured = Measurement("w", "float32", "forward", 2.0, 1.9, 2.1, 10.0, 30.0, 5.0, 0.01, 12, 3.0)
    verdict = Verdict("relu2", "0", "cpp", "float32", Status.PASSED, "", 0.0, measurements=(measured,))
    proposer.calls.spending.cost = 1.2
    told = describe_spending(proposer, verdict)
    assert (told["saved_us"], told["cost_per_saved_us"]) == (60.0, pytest.approx(0.02))
    assert describe_spending(proposer, None)["cost_per_saved_us"] is None
