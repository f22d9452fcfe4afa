"""`kernelsearch ideas read --model`: a real HTTP server stands in for the model."""

import json

import pytest
from typer.testing import CliRunner

from kernelsearch.cli.app import app
from tests.search.llm.server import serve

QUOTE = "An RMS-norm in one pass gives a 1.4x speedup over two."
TEXT = "prefetch the following token while its predecessor is scaled"
IDEA = {"text": TEXT, "target": "mix_norm", "predicts": "1.2x", "passage": 2}
REPLY = json.dumps([{**IDEA, "quote": QUOTE}, {**IDEA, "quote": "A sentence that stands nowhere in the notes."}])


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Runs the command on a folder with one note; its JSON answer."""
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "state"))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "notes.md").write_text(f"# Notes\n\n{QUOTE}\n")

    def run(url: str, *more: str):
        options = ["--model", "openai/scripted", "--base-url", url, "--json", *more]
        result = CliRunner().invoke(app, ["ideas", "read", str(tmp_path / "papers"), *options])
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)

    return run


def test_what_a_model_finds_is_filed_with_the_line_it_quotes_and_the_rest_refused(read):
    with serve(lambda request: REPLY) as provider:
        answer = read(provider.url)
    assert [idea["source"] for idea in answer["filed"]] == [f'notes.md, line 3: "{QUOTE}"']
    assert "does not stand in" in answer["refused"][0]["why"] and answer["spending"]["calls"] == 1


def test_read_again_the_model_is_not_asked_and_its_idea_is_known(read):
    with serve(lambda request: REPLY) as provider:
        read(provider.url)
        again = read(provider.url, "--replay")
    assert (len(provider.requests), again["filed"], again["spending"]["recorded"]) == (1, [], 1)


def test_a_limit_ends_the_reading_before_the_call(read, tmp_path):
    prices = tmp_path / "prices.toml"
    prices.write_text("[openai-compatible.scripted]\ninput = 1e6\ncached = 1e6\nwritten = 1e6\noutput = 1e6\n")
    with serve(lambda request: REPLY) as provider:
        answer = read(provider.url, "--max-cost", "0.01", "--prices", str(prices))
    assert (provider.requests, "could exceed the limit" in answer["refused"][0]["why"]) == ([], True)
