"""What an idea may say."""

import pytest

from kernelsearch.errors import UsageError
from kernelsearch.spec import Effect, Idea, idea_from_json, parse_effect


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("1.25x", Effect(1.25, "x")),
        ("-20%", Effect(1.25, "x")),
        ("- 0.3 ms", Effect(0.3, "ms")),
        ("-50%", Effect(2, "x")),
    ],
)
def test_an_effect_is_read_as_people_write_it(text, effect):
    assert parse_effect(text) == effect


@pytest.mark.parametrize("text", ["fast", "0.9x", "1x", "1000x", "-100%", "20%", "-0ms", "1.2", "nanx", "-1e9ms"])
def test_an_effect_that_cannot_be_is_refused_by_its_text(text):
    with pytest.raises(UsageError, match="predicts="):
        parse_effect(text)


def test_an_idea_survives_its_json():
    idea = Idea("a text of some length", "relu2", Effect(1.5, "x"), "baseline", "a paper", "me", "cpu")
    assert idea_from_json(idea.as_json()) == idea


@pytest.mark.parametrize(
    "field", [{"device": "tpu"}, {"against": "me"}, {"text": "short"}, {"text": 7}, {"predicts": 2}]
)
def test_an_idea_with_a_wrong_field_is_refused(field):
    with pytest.raises(UsageError):
        idea_from_json({"text": "a text of some length", "target": "relu2", **field})
