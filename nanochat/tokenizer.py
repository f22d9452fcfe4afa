"""Byte-pair tokenizer: trained by rustbpe, served by tiktoken, kept as JSON rather than as a pickle.

Splits text as GPT-4 does, except that digits go in runs of one or two. Nine special tokens follow the merges; the
first, <|bos|>, opens every document.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import rustbpe
import tiktoken
import torch
from torch import Tensor

from nanochat.files import write_atomically

SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = (
    "<|bos|>",
    "<|user_start|>",
    "<|user_end|>",
    "<|assistant_start|>",
    "<|assistant_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
)
THREADS = 2


@dataclass(frozen=True)
class Tokenizer:
    """Text to token ids and back; vocab_size counts the special tokens."""

    encoding: tiktoken.Encoding

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        n_merged = vocab_size - len(SPECIAL_TOKENS)
        if n_merged < 256:
            raise ValueError(
                f"vocab_size={vocab_size}: at least {256 + len(SPECIAL_TOKENS)} (bytes and special tokens)"
            )
        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(iter(texts), n_merged, pattern=SPLIT_PATTERN)
        ranked = sorted(trainer.get_mergeable_ranks(), key=lambda pair: pair[1])
        return cls(make_encoding([bytes(token) for token, _ in ranked]))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        saved = json.loads(path.read_text())
        if saved["pattern"] != SPLIT_PATTERN or tuple(saved["special_tokens"]) != SPECIAL_TOKENS:
            raise ValueError(f"path={path}: written by another version of this tokenizer; delete it to train anew")
        return cls(make_encoding([base64.b64decode(token) for token in saved["tokens"]]))

    def save(self, path: Path) -> None:
        tokens = [base64.b64encode(self.encoding.decode_single_token_bytes(i)).decode() for i in range(self.n_merged)]
        saved = {"pattern": SPLIT_PATTERN, "special_tokens": SPECIAL_TOKENS, "tokens": tokens}
        write_atomically(path, json.dumps(saved, indent=0).encode())

    @property
    def vocab_size(self) -> int:
        return self.encoding.n_vocab

    @property
    def n_merged(self) -> int:
        """Ids below this one are byte strings, the others special tokens."""
        return self.vocab_size - len(SPECIAL_TOKENS)

    @property
    def bos(self) -> int:
        return self.encoding.encode_single_token("<|bos|>")

    def encode(self, text: str) -> list[int]:
        """Ids of plain text: the names of special tokens in it are text like any other."""
        return self.encoding.encode_ordinary(text)

    def encode_documents(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with <|bos|> in front."""
        return [[self.bos, *ids] for ids in self.encoding.encode_ordinary_batch(list(texts), num_threads=THREADS)]

    def decode(self, ids: Sequence[int]) -> str:
        return self.encoding.decode(list(ids))

    def token_bytes(self) -> Tensor:
        """int32 (vocab_size,): length of each token in bytes, 0 for special tokens, which bits per byte leaves out."""
        lengths = [len(self.encoding.decode_single_token_bytes(i)) for i in range(self.n_merged)]
        return torch.tensor(lengths + [0] * len(SPECIAL_TOKENS), dtype=torch.int32)


def make_encoding(tokens: Sequence[bytes]) -> tiktoken.Encoding:
    """tokens are in order of merging, which is also their id."""
    return tiktoken.Encoding(
        name="nanochat",
        pat_str=SPLIT_PATTERN,
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={name: len(tokens) + i for i, name in enumerate(SPECIAL_TOKENS)},
    )
