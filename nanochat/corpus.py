"""Text to train on: the running Python's standard library, or a folder of parquet shards.

The library's sources are on every machine, so training needs no download. They are cut into documents at top-level
statements and stored as upstream stores its data: shards with one string column `text`, of which the last by name is
for validation. The trap: the text depends on Python's patch version, so losses compare only between equal digests.
"""

import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nanochat.files import new_folder
from nanochat.tokenizer import Tokenizer

SKIPPED_FOLDERS = {
    "site-packages",
    "dist-packages",
    "__pycache__",
    "encodings",  # generated tables
    "pydoc_data",  # one generated dictionary of 0.75 MB
    "idlelib",
    "lib2to3",
}
VALIDATION_SHARE = 1 / 20
DOCUMENT_CHARACTERS = (500, 4000)  # a document ends at the first top-level statement past the first, or at the second
SHARD_CHARACTERS = 4_000_000
ROW_GROUP_DOCUMENTS = 1024  # upstream's
TOKENIZER_CHARACTERS = 8_000_000
FORMAT = "1"  # part of the digest: raise it when the rules above or the code below change
TOP_LEVEL = re.compile(r"(def|class|async def|if|for|try|with)\b|@")


@dataclass(frozen=True)
class Corpus:
    """Shards on disk; `digest` identifies their content."""

    train_paths: tuple[Path, ...]
    val_paths: tuple[Path, ...]
    digest: str


def open_corpus(cache_dir: Path, data_dir: Path | None = None) -> Corpus:
    """The shards of data_dir, or the standard library's, built under cache_dir on first use."""
    if data_dir is not None:
        paths = tuple(sorted(data_dir.glob("*.parquet")))
        if len(paths) < 2:
            raise ValueError(f"data_dir={data_dir}: needs at least two .parquet files, the last is for validation")
        return Corpus(paths[:-1], paths[-1:], digest_shards(paths))
    sources = read_library(Path(sysconfig.get_path("stdlib")))
    digest = digest_sources(sources)
    folder = cache_dir / f"corpus-{digest[:16]}"
    if not folder.is_dir():
        with new_folder(folder) as scratch:
            write_shards(scratch, sources)
    paths = tuple(sorted(folder.glob("*.parquet")))
    return Corpus(paths[:-1], paths[-1:], digest)


def read_library(root: Path) -> dict[str, str]:
    """Path relative to root -> text of every Python file that is valid UTF-8 and not in a skipped folder."""
    sources = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED_FOLDERS.isdisjoint(relative.parts):
            try:
                sources[relative.as_posix()] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # some of the library's own tests are in other encodings on purpose
    return sources


def digest_sources(sources: dict[str, str]) -> str:
    """SHA-256 over names and contents, each preceded by its length."""
    whole = hashlib.sha256(FORMAT.encode())
    for name, text in sources.items():
        for part in (name.encode(), text.encode()):
            whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()


def digest_shards(paths: tuple[Path, ...]) -> str:
    """SHA-256 over names and row counts of shards; their content is too large to read at every start."""
    listing = "\n".join(f"{path.name}/{pq.read_metadata(path).num_rows}/{path.stat().st_size}" for path in paths)
    return hashlib.sha256(listing.encode()).hexdigest()


def write_shards(folder: Path, sources: dict[str, str]) -> None:
    """Shards of documents in an order drawn from their hash; whole source files go to validation by theirs."""
    train: list[tuple[str, str]] = []
    val: list[tuple[str, str]] = []
    for name, text in sources.items():
        chosen = val if share_of(name) < VALIDATION_SHARE else train
        chosen.extend((f"{name}#{i}", document) for i, document in enumerate(split_documents(text)))
    shards = [*split_shards(shuffled(train)), shuffled(val)]
    for i, documents in enumerate(shards):
        table = pa.table({"text": pa.array(documents, type=pa.string())})
        pq.write_table(table, folder / f"shard_{i:05d}.parquet", row_group_size=ROW_GROUP_DOCUMENTS)


def share_of(name: str) -> float:
    """A fixed pseudo-random number in [0, 1) for this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def shuffled(named: list[tuple[str, str]]) -> list[str]:
    return [text for _, text in sorted(named, key=lambda pair: share_of(pair[0]))]


def split_documents(text: str) -> Iterator[str]:
    """Pieces of a source file that together give the file back."""
    shortest, longest = DOCUMENT_CHARACTERS
    lines: list[str] = []
    size = 0
    for line in text.splitlines(keepends=True):
        if lines and (size + len(line) > longest or (size >= shortest and TOP_LEVEL.match(line))):
            yield "".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield "".join(lines)


def split_shards(documents: list[str]) -> Iterator[list[str]]:
    shard: list[str] = []
    size = 0
    for document in documents:
        shard.append(document)
        size += len(document)
        if size >= SHARD_CHARACTERS:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def read_texts(paths: tuple[Path, ...], limit_characters: int) -> Iterator[str]:
    """Documents in order until about limit_characters have been read."""
    size = 0
    for path in paths:
        shard = pq.ParquetFile(path)
        for group in range(shard.num_row_groups):
            for text in shard.read_row_group(group).column("text").to_pylist():
                yield text
                size += len(text)
                if size >= limit_characters:
                    return


def open_tokenizer(corpus: Corpus, vocab_size: int, cache_dir: Path) -> Tokenizer:
    """The tokenizer trained on the head of the training shards, kept under cache_dir."""
    path = cache_dir / f"tokenizer-{corpus.digest[:16]}-{vocab_size}.json"
    if not path.is_file():
        Tokenizer.train(read_texts(corpus.train_paths, TOKENIZER_CHARACTERS), vocab_size).save(path)
    return Tokenizer.load(path)
