from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.corpus import (
    DOCUMENT_CHARACTERS,
    digest_sources,
    open_corpus,
    read_library,
    split_documents,
    write_shards,
)

SOURCES = {f"m{i}.py": f"def f{i}(x):\n    return x * {i}\n\n\n" * 40 for i in range(60)}


@settings(deadline=None)
@given(st.lists(st.sampled_from(["def f():\n", "    pass\n", "\n", "x = 1\r\n", "é" * 700, "class A:\n"]), max_size=80))
def test_documents_put_together_are_the_file(lines: list[str]):
    assert "".join(split_documents("".join(lines))) == "".join(lines)


def test_documents_begin_at_top_level_statements():
    first, *others = split_documents(SOURCES["m1.py"])
    assert all(text.startswith("def f1") for text in (first, *others))
    assert max(map(len, others)) <= DOCUMENT_CHARACTERS[1]


def test_every_document_lands_in_exactly_one_shard(tmp_path: Path):
    write_shards(tmp_path, SOURCES)
    texts = [text for path in tmp_path.iterdir() for text in pq.read_table(path)["text"].to_pylist()]
    assert sorted(texts) == sorted(piece for source in SOURCES.values() for piece in split_documents(source))


def test_validation_holds_whole_files_that_training_never_sees(tmp_path: Path):
    write_shards(tmp_path, SOURCES)
    *train_paths, val_path = sorted(tmp_path.iterdir())
    val = set(pq.read_table(val_path)["text"].to_pylist())
    train = {text for path in train_paths for text in pq.read_table(path)["text"].to_pylist()}
    assert val and train and not val & train


def test_shards_do_not_depend_on_the_order_of_sources(tmp_path: Path):
    write_shards(tmp_path, dict(reversed(SOURCES.items())))
    again = tmp_path / "again"
    again.mkdir()
    write_shards(again, SOURCES)
    names = [path.name for path in sorted(again.iterdir())]
    assert all(pq.read_table(again / name).equals(pq.read_table(tmp_path / name)) for name in names)


def test_the_digest_sees_names_contents_and_where_they_part():
    digests = [digest_sources(sources) for sources in ({"ab": "c"}, {"a": "bc"}, {"ab": "d"}, {"ac": "c"})]
    assert len(set(digests)) == 4


def test_unreadable_and_generated_files_are_left_out(tmp_path: Path):
    (tmp_path / "encodings").mkdir()
    (tmp_path / "encodings" / "table.py").write_text("x = 1")
    (tmp_path / "latin.py").write_bytes(b"# \xe9")
    (tmp_path / "good.py").write_text("x = 2")
    assert read_library(tmp_path) == {"good.py": "x = 2"}


def test_a_folder_of_shards_keeps_its_last_file_for_validation(data_dir: Path, tmp_path: Path):
    corpus = open_corpus(tmp_path, data_dir)
    assert [path.name for path in corpus.train_paths] == ["shard_0.parquet", "shard_1.parquet"]
    assert [path.name for path in corpus.val_paths] == ["shard_2.parquet"]


def test_a_folder_without_two_shards_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="at least two"):
        open_corpus(tmp_path, tmp_path)
