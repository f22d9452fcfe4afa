"""Ideas in files: those that come with a target (`ideas.toml` in its folder), and lists that people import.

A tried idea of a target names where its figure is recorded, so that no figure is written twice: `kernel`, a folder
below `accepted/` whose provenance has the verdict, or `study` and `seed`, a recorded study and the `low` it gave.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.ideas.entry import Entry, Measured, Outcome
from kernelsearch.spec import Idea, idea_from_json
from kernelsearch.spec.idea import FIELDS

FILE = "ideas.toml"
BUILT_IN = "built-in"
MAXIMUM_BYTES = 4 << 20


def built_in(folders: Iterable[Path]) -> list[Entry]:
    """The ideas of these targets, tried ones closed."""
    entries: list[Entry] = []
    for folder in folders:
        for item in _table(folder / FILE) if (folder / FILE).is_file() else []:
            idea = idea_from_json({"author": BUILT_IN, **item, "target": folder.name})
            outcome = _outcome(item, folder) if "outcome" in item else None
            entries.append(Entry(idea, len(entries), is_built_in=True, outcome=outcome))
    return entries


def words_of(folder: Path) -> tuple[str, ...]:
    """By what words a target is known in prose: its name, and `words` of its ideas file."""
    file = folder / FILE
    words = _read(file).get("words", []) if file.is_file() else []
    return (folder.name, *(str(word) for word in words))


def read_ideas(file: Path, author: str) -> list[Idea]:
    """The ideas in a TOML file of `[[idea]]` tables or a JSON list of objects; `target` and `text` are needed."""
    items = _table(file)
    for item in items:
        if unknown := sorted(item.keys() - FIELDS):
            raise UsageError(
                f"file={str(file)!r}: unknown field {unknown[0]!r}; an idea has {', '.join(sorted(FIELDS))}"
            )
    return [idea_from_json({"author": author, "source": file.name, **item}) for item in items]


def _table(file: Path) -> list[dict[str, Any]]:
    items = _read(file).get("idea")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UsageError(f"file={str(file)!r}: wants [[idea]] tables in TOML, or a list of objects in JSON")
    return items


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAXIMUM_BYTES:
            raise UsageError(f"file={str(file)!r} has more than {MAXIMUM_BYTES} bytes")
        text = file.read_text()
        loaded = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(f"file={str(file)!r}: cannot be read as ideas ({error})") from None
    return loaded if isinstance(loaded, dict) else {"idea": loaded}


def _outcome(item: Mapping[str, Any], folder: Path) -> Outcome:
    note, outcome = item.get("note", ""), item["outcome"]
    if "kernel" in item:
        provenance = json.loads((folder / "accepted" / item["kernel"] / "provenance.json").read_text())
        verdict = provenance["verdict"]
        measured = Measured(verdict["low"], "provenance", verdict["speedup"], verdict["high"])
        time, candidate, study = provenance["date"], provenance["digest"], provenance["study"]
        before = 1.0 if item.get("against") == "baseline" else None
        return Outcome(outcome, BUILT_IN, time, note, measured, before, candidate, study)
    measured = Measured(float(item["low"]), "study")
    return Outcome(outcome, BUILT_IN, item["study"][:10], f"{note} (seed {item['seed']})", measured)
