"""Thirty answers of mixed quality over HTTP: what becomes of them, what is told back, what it cost, and once more."""

import json
from pathlib import Path

import pytest

from kernelsearch.errors import UsageError
from kernelsearch.search.llm import Limits, OpenAIClient
from tests.search.llm.answers import SCRIPT
from tests.search.llm.conftest import KEY, PRICE, expected_outcomes, make_calls, make_proposer, study
from tests.search.llm.server import listed, serve

pytest.importorskip("openai")
TUNING = '{"idea": "unroll", "UNROLL": 4}'
PRICES = {("openai-compatible", "mixed"): PRICE}
LIMITS = Limits(calls=len(SCRIPT) + 1)


def run(folder: Path, url: str, context: str = "here", *, limits: Limits = LIMITS, **more):
    calls = make_calls(folder, limits, prices=PRICES, secrets=(KEY,), **more)
    proposer = make_proposer([OpenAIClient("mixed", KEY, url)], calls)
    return study(proposer, calls, context=context), proposer


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The study, its proposer, the provider with what it was asked, and the folder."""
    folder, script = tmp_path_factory.mktemp("mixed"), listed([text for text, _ in SCRIPT])
    with serve(lambda request: TUNING if "response_format" in request else script(request)) as provider:
        result, proposer = run(folder, provider.url)
    return result, proposer, provider, folder


def digests(result):
    return [(trial.candidate.digest, str(trial.verdict.status)) for trial in result.trials]


def test_exactly_the_good_ones_are_accepted(mixed):
    accepted = {trial.candidate.source for trial in mixed[0].trials if trial.verdict.accepted}
    assert accepted == {source for source, outcome in expected_outcomes().items() if outcome == "accepted"}


def test_every_answer_was_judged_or_recorded_as_useless(mixed):
    result, proposer = mixed[:2]
    recorded = [line.body for line in proposer.calls.ledger.find("proposal")]
    useless = sum(outcome == "useless" for _, outcome in SCRIPT)
    assert (len(recorded), sum(body["failure"] is not None for body in recorded)) == (len(SCRIPT) + 1, useless)
    assert len(result.trials) == 1 + len(SCRIPT) + 1 - useless


def test_every_failure_is_told_in_the_next_prompt(mixed):
    proposer, provider = mixed[1:3]
    bodies = [line.body for line in proposer.calls.ledger.find("proposal")]
    trials = {line.body["candidate"]: line.body["verdict"] for line in proposer.calls.ledger.find("trial")}
    told = []
    for index, body in enumerate(bodies[:-1]):
        verdict = trials.get(body["candidate"], {"status": "", "counterexample": body["failure"]})
        expected = verdict["counterexample"] or "PASSED"
        told.append(expected == "PASSED" or expected in provider.prompt(index + 1))
    assert len(told) == len(SCRIPT)
    assert all(told)


def test_it_spends_what_it_says(mixed):
    proposer, provider = mixed[1:3]
    spent = proposer.spending()
    count = len(provider.requests)
    assert (spent["calls"], spent["tokens"]["prompt"], spent["tokens"]["cached"]) == (count, 1000 * count, 400 * count)
    assert spent["cost"] == pytest.approx(count * (600 * 2.0 + 400 * 0.5 + 200 * 10.0) / 1e6)


def test_replayed_it_is_the_same_to_the_bit_and_asks_nobody(mixed):
    again, proposer = run(mixed[3], mixed[2].url, "another place", is_replay=True)
    assert digests(again) == digests(mixed[0])
    assert proposer.spending()["recorded"] == proposer.spending()["calls"] == len(mixed[2].requests)
    assert proposer.spending()["new_cost"] == 0


def test_a_replay_without_a_recorded_answer_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UsageError, match="no answer is recorded for call 1"):
        run(tmp_path, "http://127.0.0.1:9/v1", is_replay=True)


def test_the_key_is_sent_and_written_nowhere(mixed):
    written = [path.read_text() for path in mixed[3].rglob("*") if path.is_file()]
    assert mixed[2].headers[0]["authorization"] == f"Bearer {KEY}"
    assert not any(KEY in text for text in [*written, json.dumps(mixed[2].requests)])


def test_a_study_that_was_stopped_asks_only_for_the_rest(mixed, tmp_path):
    script = listed([text for text, _ in SCRIPT])
    with serve(lambda request: TUNING if "response_format" in request else script(request)) as provider:
        run(tmp_path, provider.url, limits=Limits(calls=12))
        asked = len(provider.requests)
        whole, proposer = run(tmp_path, provider.url)
    assert (asked, proposer.spending()["recorded"], len(provider.requests)) == (12, 12, len(SCRIPT) + 1)
    assert digests(whole) == digests(mixed[0])
