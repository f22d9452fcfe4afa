"""Papers, notes and patches as passages, each with its place: what a citation can point at.

Everything read here is data that somebody else wrote. Nothing of it is run, and links in a folder are not followed.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.errors import UsageError

MAXIMUM_FILES = 500
MAXIMUM_BYTES = 32 << 20
MAXIMUM_PAGES = 200
TEXTS = (".txt", ".md", ".markdown", ".rst")
PATCHES = (".patch", ".diff")
PAPERS = (".pdf",)
_STARTS_ITEM = re.compile(r"\s*([-*+]|\d+[.)])\s+|#+\s+")
_DIFF = re.compile(r"^(diff --git |--- |Index: |@@ )", re.MULTILINE)


@dataclass(frozen=True)
class Passage:
    """Some text of a file and where it stands: "line 12" or "page 3". Lines are kept as they are."""

    file: str
    place: str
    text: str

    @property
    def citation(self) -> str:
        return f"{self.file}, {self.place}"


@dataclass(frozen=True)
class Reading:
    """What a folder holds, and why some files of it were not read."""

    passages: tuple[Passage, ...]
    files: int
    skipped: dict[str, str]


def read_folder(folder: Path) -> Reading:
    """Every text, patch and paper below `folder`. Raises UsageError where it is none, or too large."""
    if not folder.is_dir():
        raise UsageError(f"folder={str(folder)!r} is not a folder")
    known = (*TEXTS, *PATCHES, *PAPERS)
    files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in known and f.is_file() and not f.is_symlink()]
    if len(files) > MAXIMUM_FILES:
        raise UsageError(f"folder={str(folder)!r} has {len(files)} files to read: at most {MAXIMUM_FILES} at a time")
    passages: list[Passage] = []
    skipped: dict[str, str] = {}
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            passages += list(_passages(file, name))
        except (OSError, ValueError) as error:
            skipped[name] = str(error)
    return Reading(tuple(passages), len(files) - len(skipped), skipped)


def _passages(file: Path, name: str) -> Iterator[Passage]:
    if file.stat().st_size > MAXIMUM_BYTES:
        raise ValueError(f"more than {MAXIMUM_BYTES} bytes")
    if file.suffix.lower() in PAPERS:
        return _pages(file.read_bytes(), name)
    text = file.read_text(errors="replace")
    if file.suffix.lower() in PATCHES:
        text = _DIFF.split(text, maxsplit=1)[0]  # what its author says; the lines of code are not prose
    return _blocks(text, name)


def _blocks(text: str, name: str) -> Iterator[Passage]:
    """Paragraphs, list items and headings with what stands directly below them."""
    block: list[str] = []
    started = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        is_item = _STARTS_ITEM.match(line) is not None and not line.startswith((" ", "\t"))
        if block and (not line.strip() or is_item):
            yield Passage(name, f"line {started}", "\n".join(block))
            block = []
        if line.strip():
            started = started if block else number
            block.append(line)


def _pages(data: bytes, name: str) -> Iterator[Passage]:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise ValueError("pypdf is not installed: pip install 'kernelsearch[papers]'") from None
    try:
        pages = PdfReader(io.BytesIO(data)).pages
        texts = [page.extract_text() for page in pages[:MAXIMUM_PAGES]]
    except (PyPdfError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a PDF that can be read ({type(error).__name__})") from None
    if not any(text.strip() for text in texts):
        raise ValueError("a PDF without text, such as scanned pages")
    return (Passage(name, f"page {number}", text) for number, text in enumerate(texts, 1) if text.strip())
