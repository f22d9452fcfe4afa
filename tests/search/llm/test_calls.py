"""Limits that stop hard, prices, what is kept of a call, and which model is asked."""

from collections import Counter

import pytest

from kernelsearch.errors import EnvironmentMissing, UsageError
from kernelsearch.search.llm import Bandit, CallFailed, LimitReached, Limits, Price, Prompt, Usage, read_prices
from kernelsearch.search.llm.answer import Useless, read_draft, read_tunables
from tests.search.llm.answers import VECTORS, block
from tests.search.llm.conftest import KEY, PRICE, Scripted, make_calls, make_proposer, replies, study

PROMPT = Prompt("stable", "turn")
COST = (600 * 2.0 + 400 * 0.5 + 200 * 10.0) / 1e6


def test_the_limit_on_calls_ends_a_study_with_a_sentence(tmp_path):
    calls = make_calls(tmp_path, Limits(calls=3))
    client = Scripted(lambda prompt: "no code")
    proposer = make_proposer([client], calls)
    study(proposer, calls)
    assert (len(client.prompts), proposer.ending) == (3, "the limit of 3 calls is reached")


def test_the_limit_on_cost_is_never_exceeded(tmp_path):
    calls = make_calls(tmp_path, Limits(cost=0.1))
    proposer = make_proposer([Scripted(lambda prompt: "no code")], calls, patience=1000)
    study(proposer, calls)
    assert "could exceed the limit of 0.1 USD" in proposer.ending
    assert calls.spending.cost == pytest.approx(calls.spending.calls * COST)
    assert 0.05 < calls.spending.cost <= 0.1


def test_no_call_can_cost_more_than_was_foreseen():
    prompt = Prompt("a" * 700, "b" * 300)
    worst = Usage(0, 0, 1000 + 400, 1000)
    assert PRICE.cost(worst) <= PRICE.highest_cost(prompt, 1000)


def test_a_limit_on_cost_without_a_price_is_refused_before_any_call(tmp_path):
    client = Scripted(lambda prompt: "x", model="unheard-of")
    with pytest.raises(UsageError, match=r"max-cost=1.0: the price of openai/unheard-of is not known"):
        make_proposer([client], make_calls(tmp_path, Limits(cost=1.0)))
    assert client.prompts == []


def test_without_a_price_the_cost_is_unknown_not_zero(tmp_path):
    calls = make_calls(tmp_path, prices={})
    calls.ask(Scripted(lambda prompt: "x"), PROMPT)
    assert (calls.spending.as_json()["cost"], calls.spending.completion) == (None, 200)


def test_a_call_stops_where_the_time_of_the_study_is_over(tmp_path):
    clock = iter([0.0, 0.0, 0.0, 0.0, 100.0])
    calls = make_calls(tmp_path, Limits(seconds=50.0), clock=lambda: next(clock))
    calls.ask(Scripted(lambda prompt: "x"), PROMPT)
    with pytest.raises(LimitReached, match="the time is over"):
        calls.ask(Scripted(lambda prompt: "x"), Prompt("stable", "another"))


def test_the_same_question_is_paid_once(tmp_path):
    client = Scripted(lambda prompt: "x")
    calls = make_calls(tmp_path)
    answers = [calls.ask(client, PROMPT)[0] for _ in range(2)]
    assert (len(client.prompts), answers[0]) == (1, answers[1])
    assert calls.spending.new_cost == pytest.approx(COST)


def test_a_record_of_a_call_says_what_it_was_and_cost(tmp_path):
    calls = make_calls(tmp_path)
    line = calls.ask(Scripted(lambda prompt: "the answer"), PROMPT)[1]
    kept = {name: line.body[name] for name in ("provider", "model", "tokens", "error")}
    tokens = {"prompt": 1000, "cached": 400, "written": 0, "completion": 200}
    assert kept == {"provider": "openai", "model": "scripted", "tokens": tokens, "error": None}
    assert calls.objects.get(line.body["answer"]) == "the answer"
    assert '"turn": "turn"' in calls.objects.get(line.body["prompt"])


def test_a_key_that_an_answer_or_an_error_repeats_is_not_written(tmp_path):
    calls = make_calls(tmp_path, secrets=(KEY,))
    calls.ask(Scripted(lambda prompt: f"your key is {KEY}"), PROMPT)
    with pytest.raises(CallFailed, match=r"wrong key \[secret\]"):
        calls.ask(Scripted(fail(f"wrong key {KEY}", is_permanent=True)), Prompt("other", "turn"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY in path.read_text()]


def fail(reason: str, *, is_permanent: bool):
    def reply(prompt: Prompt) -> str:
        raise CallFailed(reason, is_permanent=is_permanent)

    return reply


def test_a_model_that_never_answers_is_an_error(tmp_path):
    calls = make_calls(tmp_path)
    with pytest.raises(EnvironmentMissing, match="model=openai/scripted cannot be asked: status 401"):
        study(make_proposer([Scripted(fail("status 401: wrong key", is_permanent=True))], calls), calls)


def test_a_model_that_stops_answering_ends_the_study_not_what_was_found(tmp_path):
    calls = make_calls(tmp_path)
    proposer = make_proposer([Scripted(replies(block(VECTORS)))], calls)
    result = study(proposer, calls)
    assert result.best is not None and result.best.candidate.source == VECTORS
    assert "cannot be asked: nothing more to say" in proposer.ending


def test_another_model_goes_on_where_one_cannot_be_asked(tmp_path):
    calls = make_calls(tmp_path, Limits(calls=4))
    broken = Scripted(fail("status 404", is_permanent=True), "broken")
    proposer = make_proposer([broken, Scripted(replies(block(VECTORS), "", ""))], calls)
    assert study(proposer, calls).best.candidate.source == VECTORS


def test_useless_answers_in_a_row_end_a_study_with_a_sentence(tmp_path):
    calls = make_calls(tmp_path)
    proposer = make_proposer([Scripted(lambda prompt: "I am a teapot")], calls, patience=3)
    study(proposer, calls)
    assert proposer.ending == "3 answers in a row held no proposal (the last: the answer held no fenced code block)"


def test_numbers_alone_may_be_proposed_for_a_known_source(tmp_path):
    calls = make_calls(tmp_path, Limits(calls=1))
    client = Scripted(lambda prompt: '{"idea": "four", "UNROLL": 4}')
    result = study(make_proposer([client], calls, tune_every=1), calls)
    assert [dict(trial.candidate.tunables) for trial in result.trials] == [{"UNROLL": 1}, {"UNROLL": 4}]
    assert client.prompts[0].schema["properties"]["UNROLL"] == {"type": "integer", "enum": [1, 4]}


def test_a_server_that_knows_no_schemas_is_asked_for_sources_alone(tmp_path):
    def reply(prompt: Prompt) -> str:
        if prompt.schema is not None:
            raise CallFailed("status 400: response_format", is_permanent=True)
        return block(VECTORS)

    calls = make_calls(tmp_path, Limits(calls=2))
    result = study(make_proposer([Scripted(reply)], calls, tune_every=1), calls)
    assert result.best is not None and result.best.candidate.source == VECTORS


@pytest.mark.parametrize("text", ['{"X": 3}', '{"X": true}', "[]", "two", '{"Y": 1}', "[" * 100_000])
def test_numbers_that_were_not_declared_are_no_proposal(text):
    with pytest.raises(Useless):
        read_tunables(text, {"X": (1, 2)})


def test_the_code_is_taken_to_the_byte_and_talk_around_it_left():
    text = "Name: **Wide rows!**\nIdea: more\n\n~~~cpp\na ``` b\n~~~\nthe end"
    draft = read_draft(text)
    assert (draft.source, draft.name, draft.idea) == ("a ``` b\n", "Wide-rows", "more")


def test_own_prices_stand_above_ours(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text('[openai."gpt-5.5"]\ninput = 1\noutput = 2\n[openai-compatible.local]\ninput = 0\noutput = 0\n')
    prices = read_prices(file)
    assert prices["openai", "gpt-5.5"] == Price(1.0, 1.0, 1.0, 2.0)
    assert prices["openai-compatible", "local"].cost(Usage(9, 9, 9, 9)) == 0


@pytest.mark.parametrize("text", ["[openai.x]\ninput = 1", "[openai.x]\ninput = -1\noutput = 1", "openai = ["])
def test_a_price_table_that_cannot_be_right_is_refused(text, tmp_path):
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(UsageError, match="prices="):
        read_prices(tmp_path / "prices.toml")


def test_the_model_whose_calls_bring_the_study_forward_is_asked_more():
    bandit, asked = Bandit(["good", "poor"], 0), Counter()
    for number in range(60):
        arm = bandit.choose(number, ["good", "poor"])
        asked[arm] += 1
        bandit.count(arm, is_improvement=arm == "good" and number % 2 == 0)
    assert asked["good"] > 2 * asked["poor"] > 0


def test_the_bandit_draws_the_same_again_whatever_was_drawn_between():
    one, other = Bandit(["a", "b", "c"], 5), Bandit(["a", "b", "c"], 5)
    for bandit in (one, other):
        for arm in "abc":
            bandit.count(arm, is_improvement=False)
    other.choose(1, "abc")
    assert [one.choose(n, "abc") for n in range(20)] == [other.choose(n, "abc") for n in range(20)]
