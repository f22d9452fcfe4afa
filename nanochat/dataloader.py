"""Batches of packed documents.

A row of T + 1 tokens takes the largest buffered document that still fits, again and again, and is closed by cropping
the shortest one: every row is full and starts with <|bos|>, and many tokens are thrown away. Documents in a row see
each other. The trap is resuming: the buffer outlives the read position, so the state lists its documents.

Axes: B rows, T tokens of context.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nanochat.ops import PackDocuments, pack_documents

BUFFER_DOCUMENTS = 1000
DOCUMENTS_PER_READ = 128


class DocumentEncoder(Protocol):
    """What the loader needs of a tokenizer: token lists that start with the document mark."""

    def encode_documents(self, texts: Sequence[str]) -> list[list[int]]: ...


class Batch(NamedTuple):
    inputs: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64, the inputs moved on by one


class Reference(NamedTuple):
    """Where a document is stored."""

    shard: int
    group: int
    row: int


class PackedLoader:
    """Endless batches from parquet shards, read in order and started again at their end."""

    def __init__(
        self,
        paths: Sequence[Path],
        tokenizer: DocumentEncoder,
        *,
        rows: int,
        length: int,
        device: torch.device,
        buffer_documents: int = BUFFER_DOCUMENTS,
        pack: PackDocuments = pack_documents,
    ) -> None:
        self.paths = list(paths)
        self.tokenizer = tokenizer
        self.rows, self.length, self.device = rows, length, device
        self.buffer_documents = buffer_documents
        self._pack = pack
        self.epoch = 1
        self._next = Reference(0, 0, 0)
        self._last_group = (0, 0)
        self._group_texts: tuple[tuple[int, int], list[str]] | None = None
        self._documents: list[list[int]] = []
        self._references: list[Reference] = []
        self._lengths = np.empty(0, dtype=np.int64)

    def next_batch(self) -> Batch:
        packed = np.empty((self.rows, self.length + 1), dtype=np.int64)
        self._fill(packed.reshape(-1))
        tokens = torch.from_numpy(packed)
        if self.device.type == "cuda":
            tokens = tokens.pin_memory().to(self.device, non_blocking=True)
        return Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to give the very next batch; JSON. The first three keys are upstream's."""
        return {
            "pq_idx": self._last_group[0],
            "rg_idx": self._last_group[1],
            "epoch": self.epoch,
            "next": list(self._next),
            "buffer": [list(reference) for reference in self._references],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._last_group = (state["pq_idx"], state["rg_idx"])
        self.epoch = state["epoch"]
        self._next = Reference(*state["next"])
        self._references = [Reference(*reference) for reference in state["buffer"]]
        wanted = sorted({reference[:2] for reference in self._references})
        texts = {group: self._read_group(*group) for group in wanted}
        self._documents = self.tokenizer.encode_documents([texts[r[:2]][r.row] for r in self._references])
        self._lengths = np.array([len(document) for document in self._documents], dtype=np.int64)

    def _fill(self, tokens: np.ndarray) -> None:
        """Rows of T + 1 tokens, one behind the other: every row is full, so the pieces follow each other too."""
        capacity, start = self.length + 1, 0
        while start < len(tokens):
            while len(self._documents) < self.buffer_documents:
                self._refill()
            documents, sizes = self._pack(
                torch.from_numpy(self._lengths),
                capacity=capacity,
                filled=start % capacity,
                rows=self.rows - start // capacity,
                keep=self.buffer_documents,
            )
            taken = documents[documents >= 0].tolist()
            for document, size in zip(taken, sizes.tolist(), strict=False):
                tokens[start : start + size] = self._documents[document][:size]
                start += size
            self._remove(taken)

    def _remove(self, taken: list[int]) -> None:
        for document in sorted(taken, reverse=True):
            del self._documents[document], self._references[document]
        self._lengths = np.delete(self._lengths, taken)

    def _refill(self) -> None:
        """Append the next documents of the current row group, at most DOCUMENTS_PER_READ."""
        shard, group, row = self._next
        texts = self._read_group(shard, group)[row : row + DOCUMENTS_PER_READ]
        documents = self.tokenizer.encode_documents(texts)
        self._documents += documents
        self._references += [Reference(shard, group, row + i) for i in range(len(texts))]
        self._lengths = np.append(self._lengths, [len(document) for document in documents]).astype(np.int64)
        self._last_group = (shard, group)
        self._advance(len(texts))

    def _advance(self, n_documents: int) -> None:
        shard, group, row = self._next
        row += n_documents
        if row >= len(self._read_group(shard, group)):
            row, group = 0, group + 1
        if group >= pq.read_metadata(self.paths[shard]).num_row_groups:
            group, shard = 0, shard + 1
        if shard >= len(self.paths):
            shard = 0
            self.epoch += 1
        self._next = Reference(shard, group, row)

    def _read_group(self, shard: int, group: int) -> list[str]:
        if self._group_texts is None or self._group_texts[0] != (shard, group):
            table = pq.ParquetFile(self.paths[shard]).read_row_group(group, columns=["text"])
            self._group_texts = ((shard, group), table.column("text").to_pylist())
        return self._group_texts[1]
