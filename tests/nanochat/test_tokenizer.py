from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.tokenizer import SPECIAL_TOKENS, Tokenizer

TEXTS = ["def f(x):\n    return x + 12345\n" * 20, "class A:\n    pass  # it's here\n" * 20]
TOKENIZER = Tokenizer.train(TEXTS, 300)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_survives_the_round_trip(text: str):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_token_bytes_add_up_to_the_text(text: str):
    lengths = TOKENIZER.token_bytes()
    assert int(lengths[TOKENIZER.encode(text)].sum()) == len(text.encode())


def test_training_is_repeatable():
    assert Tokenizer.train(TEXTS, 300).encode(TEXTS[0]) == TOKENIZER.encode(TEXTS[0])


def test_a_saved_tokenizer_is_the_same(tmp_path: Path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.vocab_size == TOKENIZER.vocab_size
    assert loaded.encode(TEXTS[1]) == TOKENIZER.encode(TEXTS[1])
    assert loaded.token_bytes().equal(TOKENIZER.token_bytes())


def test_documents_begin_with_the_first_special_token():
    documents = TOKENIZER.encode_documents(["a", ""])
    assert documents == [[TOKENIZER.bos, *TOKENIZER.encode("a")], [TOKENIZER.bos]]
    assert TOKENIZER.vocab_size - TOKENIZER.bos == len(SPECIAL_TOKENS)


def test_the_name_of_a_special_token_in_text_is_plain_text():
    assert TOKENIZER.bos not in TOKENIZER.encode("<|bos|>")


def test_special_tokens_have_no_bytes():
    assert not TOKENIZER.token_bytes()[-len(SPECIAL_TOKENS) :].any()


def test_digits_go_in_pairs():
    pieces = [TOKENIZER.decode([token]) for token in TOKENIZER.encode("987654")]
    assert max(map(len, pieces)) <= 2


def test_a_vocabulary_too_small_for_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab_size=264"):
        Tokenizer.train(TEXTS, 264)
