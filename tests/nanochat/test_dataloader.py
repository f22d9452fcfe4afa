import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.dataloader import Batch, PackedLoader
from nanochat.ops import PackDocuments, pack_documents

CPU = torch.device("cpu")
BOS = 256


class ByteEncoder:
    def encode_documents(self, texts: Sequence[str]) -> list[list[int]]:
        return [[BOS, *text.encode()] for text in texts]


def make_loader(
    paths: Sequence[Path],
    *,
    rows: int = 3,
    length: int = 40,
    buffer_documents: int = 20,
    pack: PackDocuments = pack_documents,
) -> PackedLoader:
    size = {"rows": rows, "length": length, "buffer_documents": buffer_documents}
    return PackedLoader(paths, ByteEncoder(), **size, device=CPU, pack=pack)


def write_texts(folder: Path, texts: list[str], row_group_size: int = 7) -> list[Path]:
    path = folder / "texts.parquet"
    pq.write_table(pa.table({"text": texts}), path, row_group_size=row_group_size)
    return [path]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Documents of many lengths, each of its own letters."""
    return write_texts(tmp_path, [chr(33 + i) * (1 + 7 * i % 30) for i in range(90)])


def whole_rows(batch: Batch) -> list[list[int]]:
    return torch.cat([batch.inputs, batch.targets[:, -1:]], dim=1).tolist()


def test_every_row_starts_with_the_document_mark(paths: list[Path]):
    loader = make_loader(paths)
    assert all(row[0] == BOS for _ in range(20) for row in whole_rows(loader.next_batch()))


def test_targets_are_the_inputs_moved_on_by_one(paths: list[Path]):
    batch = make_loader(paths).next_batch()
    assert batch.inputs.shape == batch.targets.shape == (3, 40)
    assert batch.inputs[:, 1:].equal(batch.targets[:, :-1])


def test_only_the_last_document_of_a_row_is_cropped(paths: list[Path]):
    lengths = {33 + i: 1 + 7 * i % 30 for i in range(90)}
    row = whole_rows(make_loader(paths).next_batch())[0]
    pieces = "".join(map(chr, row)).split(chr(BOS))[1:]
    assert all(len(piece) == lengths[ord(piece[0])] for piece in pieces[:-1])
    assert len(pieces) > 1 and all(len(set(piece)) <= 1 for piece in pieces)


def test_the_largest_fitting_document_goes_first_and_the_shortest_is_cropped(tmp_path: Path):
    paths = write_texts(tmp_path, ["aa", "bbbb", "cccc", "dddddd"])
    row = whole_rows(make_loader(paths, rows=1, length=13, buffer_documents=1).next_batch())[0]
    assert "".join(map(chr, row)).split(chr(BOS))[1:] == ["dddddd", "bbbb", "a"]


def test_a_row_that_nothing_fits_is_closed_by_the_head_of_the_shortest(tmp_path: Path):
    paths = write_texts(tmp_path, ["aaaaaaaaa", "bbbbbbb", "cccccccc"])
    row = whole_rows(make_loader(paths, rows=1, length=5, buffer_documents=3).next_batch())[0]
    assert row == [BOS, *b"bbbbb"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=5, max_size=40), st.integers(1, 12))
def test_resuming_gives_the_very_next_batches(tmp_path_factory, sizes: list[int], n_before: int):
    folder = tmp_path_factory.mktemp("resume")
    paths = write_texts(folder, [chr(33 + i) * size for i, size in enumerate(sizes)], row_group_size=3)
    loader = make_loader(paths, buffer_documents=5)
    for _ in range(n_before):
        loader.next_batch()
    resumed = make_loader(paths, buffer_documents=5)
    resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
    assert [whole_rows(resumed.next_batch()) for _ in range(6)] == [whole_rows(loader.next_batch()) for _ in range(6)]


def pack_one(lengths_D: torch.Tensor, *, keep: int, **rest: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A single piece: when it is taken, one document less than asked for is left."""
    return pack_documents(lengths_D, keep=len(lengths_D), **rest)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=5, max_size=40), st.integers(1, 12))
def test_many_pieces_at_once_are_those_taken_one_by_one(tmp_path_factory, sizes: list[int], buffer_documents: int):
    folder = tmp_path_factory.mktemp("pieces")
    paths = write_texts(folder, [chr(33 + i) * size for i, size in enumerate(sizes)], row_group_size=3)
    many, one = (
        make_loader(paths, buffer_documents=buffer_documents, pack=pack) for pack in (pack_documents, pack_one)
    )
    assert [whole_rows(many.next_batch()) for _ in range(6)] == [whole_rows(one.next_batch()) for _ in range(6)]
    assert many.state_dict() == one.state_dict()


def test_the_data_starts_again_at_its_end_and_counts_epochs(paths: list[Path]):
    loader = make_loader(paths)
    for _ in range(60):
        loader.next_batch()
    assert loader.epoch > 1


def test_batches_are_fresh_memory(paths: list[Path]):
    loader = make_loader(paths)
    first = loader.next_batch()
    kept = first.inputs.clone()
    loader.next_batch()
    assert first.inputs.equal(kept)
