"""What was measured and recorded on disk: the documents of `bench`, `race`, `optimize` and `scorecard`, by device.

A folder of results holds `DATE-NAME.json` files; of each name the newest counts. Its parent may hold one such folder
for each device.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError

_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})-(.+)\.json")
# What a document of each kind must have to be shown; the kind is the first word of its name.
_NEEDED = {
    "race": ("config", "baseline", "promoted", "speedup", "low", "high", "equality"),
    "step": ("config", "modes"),
    "bench": ("results",),
    "optimize": ("target", "proposers", "trials", "statuses"),
    "scorecard": ("environment",),
    "upstream": ("speedup", "low", "high", "kernels_gap"),
}


@dataclass(frozen=True)
class Document:
    """One recorded result. `name` is "race-tiny" for the file 2026-01-02-race-tiny.json."""

    name: str
    date: str
    file: Path
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return self.name.split("-")[0]

    @property
    def about(self) -> str:
        """The name without its kind: the configuration or the target."""
        return self.name.partition("-")[2]


@dataclass(frozen=True)
class Device:
    """All results of one machine, the newest of each name, by name."""

    name: str
    documents: tuple[Document, ...]

    def of(self, kind: str) -> tuple[Document, ...]:
        return tuple(document for document in self.documents if document.kind == kind)


def read_results(folder: Path) -> tuple[Device, ...]:
    """The devices in `folder`, or the one whose results lie in it. Raises UsageError where a file cannot be used."""
    if not folder.is_dir():
        raise UsageError(f"results={str(folder)!r} is not a folder; give one with DATE-NAME.json files, or its parent")
    own = _documents(folder)
    if own:
        return (Device(folder.resolve().name, own),)
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    found = ((path.name, _documents(path)) for path in below)
    return tuple(Device(name, documents) for name, documents in found if documents)


def _documents(folder: Path) -> tuple[Document, ...]:
    newest: dict[str, Document] = {}
    for file in sorted(folder.glob("*.json")):
        match = _FILE.fullmatch(file.name)
        if match and match[2].split("-")[0] in _NEEDED:
            newest[match[2]] = _read(file, *match.groups())
    return tuple(newest[name] for name in sorted(newest))


def _read(file: Path, date: str, name: str) -> Document:
    try:
        body = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"results={str(file)!r} cannot be read as JSON ({error})") from None
    document = Document(name, date, file, body if isinstance(body, dict) else {})
    missing = [key for key in _NEEDED[document.kind] if key not in document.body]
    if missing:
        raise UsageError(f"results={str(file)!r} is not what kernelsearch writes: it has no {', '.join(missing)}")
    return document
