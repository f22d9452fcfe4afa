"""Both SDKs against a real server: what is sent, what is read, what is tried again."""

import pytest

from kernelsearch.search.llm import AnthropicClient, CallFailed, OpenAIClient, Prompt, Usage
from tests.search.llm.server import listed, serve

SCHEMA = {"type": "object", "properties": {"X": {"type": "integer"}}, "required": ["X"], "additionalProperties": False}
PROMPT = Prompt("stable part", "this turn", SCHEMA)


def make(kind: str, url: str):
    pytest.importorskip(kind)
    if kind == "openai":
        return OpenAIClient("m", "key", url)
    return AnthropicClient("m", "key", url.removesuffix("/v1"))


KINDS = ("openai", "anthropic")


def test_an_openai_server_gets_the_stable_part_first_and_the_schema():
    with serve(lambda request: "answer") as provider:
        answer = make("openai", provider.url).send(PROMPT, 30)
    request = provider.requests[0]
    assert [m["content"] for m in request["messages"]] == ["stable part", "this turn"]
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (answer.text, answer.usage) == ("answer", Usage(600, 400, 0, 200))


def test_anthropic_is_told_to_cache_the_stable_part():
    with serve(lambda request: "answer") as provider:
        answer = make("anthropic", provider.url).send(PROMPT, 30)
    request = provider.requests[0]
    assert request["system"] == [{"type": "text", "text": "stable part", "cache_control": {"type": "ephemeral"}}]
    assert request["output_config"]["format"]["schema"] == SCHEMA
    assert (answer.text, answer.usage) == ("answer", Usage(500, 400, 100, 200))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_limit_and_a_server_error_are_waited_out(kind):
    with serve(listed([(429, "slow down"), (500, "oops"), "answer"])) as provider:
        assert make(kind, provider.url).send(PROMPT, 30).text == "answer"
    assert len(provider.requests) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_key_is_permanent(kind):
    with serve(lambda request: (401, "no such key")) as provider, pytest.raises(CallFailed, match="status 401") as got:
        make(kind, provider.url).send(PROMPT, 30)
    assert got.value.is_permanent and len(provider.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_in_no_representation(kind):
    assert "key=" not in repr(make(kind, "http://127.0.0.1:9/v1"))
