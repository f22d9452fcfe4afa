"""`kernelsearch ideas read`: a folder of papers, notes and patches, read for ideas."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelsearch.cli.desk import Desk
from kernelsearch.cli.ideas import file_ideas
from kernelsearch.ideas.documents import read_folder
from kernelsearch.ideas.library import words_of
from kernelsearch.ideas.rules import extract
from kernelsearch.ideas.scientist import Model, read_with
from kernelsearch.report.text import foreign, open_console
from kernelsearch.spec import TargetFolder, target_names


def run(folder: Path, *, is_trial: bool, model: Model | None = None) -> tuple[dict[str, Any], int]:
    """By rules, or with a model that reads in their place."""
    desk = Desk()
    reading = read_folder(folder)
    console = open_console(stderr=True)
    for name, why in reading.skipped.items():
        console.print(foreign(f"not read: {name}: {why}"), soft_wrap=True)
    targets = {name: TargetFolder(desk.library / name) for name in target_names(desk.library)}
    if model is None:
        ideas, refused = extract(reading.passages, {name: words_of(found.path) for name, found in targets.items()})
    else:
        summaries = {name: found.target.summary for name, found in targets.items()}
        ideas, refused = read_with(model, reading.passages, summaries)
    for what in refused:
        console.print(foreign(f"no idea: {what.citation}: {what.why}"), soft_wrap=True)
    console.print(f"{reading.files} files read, {len(ideas)} ideas found", markup=False)
    answer: dict[str, Any] = {
        "files": reading.files,
        "skipped": reading.skipped,
        "refused": [asdict(what) for what in refused],
    }
    if is_trial:
        for idea in ideas:
            console.print(foreign(f"{idea.target}: {idea.text} ({idea.source})"), soft_wrap=True)
        return {**answer, "found": [idea.as_json() for idea in ideas]}, 0 if ideas else 1
    filed, status = file_ideas(desk, ideas)
    return {**answer, **filed}, status if ideas else 1
