"""`kernelsearch ideas read`: a folder of papers, notes and patches, read for ideas."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelsearch.cli.desk import Desk
from kernelsearch.cli.ideas import file_ideas
from kernelsearch.cli.proposers import ModelOptions, make_clients
from kernelsearch.errors import UsageError
from kernelsearch.ideas.documents import read_folder
from kernelsearch.ideas.library import words_of
from kernelsearch.ideas.rules import extract
from kernelsearch.ideas.scientist import Unanswered, read_with
from kernelsearch.ledger import Objects
from kernelsearch.report.text import foreign, open_console
from kernelsearch.search.llm import CallFailed, Calls, Client, LimitReached, Limits, Prompt, read_prices
from kernelsearch.spec import TargetFolder, target_names


class Reader:
    """A language model as the scientist asks it: every call on record and under the limits of the command."""

    def __init__(self, client: Client, calls: Calls) -> None:
        calls.check([client])
        self._client, self.calls = client, calls

    def complete(self, system: str, prompt: str) -> str:
        try:
            return self.calls.ask(self._client, Prompt(system, prompt))[0].text
        except LimitReached as limit:
            raise Unanswered(str(limit), is_final=True) from None
        except CallFailed as failure:
            raise Unanswered(f"the model cannot be asked: {failure}", is_final=failure.is_permanent) from None


def make_reader(desk: Desk, options: ModelOptions, seconds: float | None) -> Reader:
    clients, secrets = make_clients(options)
    if len(clients) > 1:
        raise UsageError(f"model={', '.join(options.models)}: one model reads; give one")
    limits = Limits(options.maximum_calls, options.maximum_cost, seconds, options.call_seconds)
    objects, prices = Objects(desk.state / "objects"), read_prices(options.prices)
    return Reader(clients[0], Calls(desk.ledger, objects, prices, limits, options.replay, secrets))


def run(
    folder: Path, *, is_trial: bool, options: ModelOptions | None = None, seconds: float | None = None
) -> tuple[dict[str, Any], int]:
    """By rules, or with a model that reads in their place."""
    desk = Desk()
    model = None if options is None else make_reader(desk, options, seconds)
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
        spent = model.calls.spending.as_json()
        price = "price not known" if spent["cost"] is None else f"{spent['cost']:.4f} USD"
        console.print(f"{spent['calls']} calls, {spent['recorded']} of them recorded before, {price}", markup=False)
    for what in refused:
        console.print(foreign(f"no idea: {what.citation}: {what.why}"), soft_wrap=True)
    console.print(f"{reading.files} files read, {len(ideas)} ideas found", markup=False)
    answer: dict[str, Any] = {
        "files": reading.files,
        "skipped": reading.skipped,
        "refused": [asdict(what) for what in refused],
        "spending": None if model is None else model.calls.spending.as_json(),
    }
    if is_trial:
        for idea in ideas:
            console.print(foreign(f"{idea.target}: {idea.text} ({idea.source})"), soft_wrap=True)
        return {**answer, "found": [idea.as_json() for idea in ideas]}, 0 if ideas else 1
    filed, status = file_ideas(desk, ideas)
    return {**answer, **filed}, status if ideas else 1
