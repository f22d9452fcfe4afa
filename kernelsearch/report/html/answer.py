"""The first screen: should I train with these kernels, how far the answer carries, and what speaks against it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelsearch.report.html.evidence import Evidence
from kernelsearch.report.html.measured import rows_behind
from kernelsearch.report.html.results import Device, Document
from kernelsearch.report.html.scorecard import says_in_short
from kernelsearch.report.text import format_interval


@dataclass(frozen=True)
class Tile:
    """One figure of the first screen, what it is, and what it must be read with."""

    value: str
    what: str
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """The first screen: should I train with these kernels?"""

    headline: str
    words: str
    is_yes: bool
    tiles: tuple[Tile, ...]
    against: tuple[str, ...] = field(default=())


def make_answer(evidence: Evidence) -> Answer:
    if not evidence.races:
        return Answer(
            "Not yet measured: no race is recorded.",
            "A race trains twice, with and without the kernels, to the same loss: run `kernelsearch race`.",
            False,
            tuple(_tiles(evidence)),
        )
    race = evidence.races[0]
    return Answer(race.headline, race.words, race.is_won, tuple(_tiles(evidence)), tuple(_against(evidence)))


def _tiles(evidence: Evidence) -> Iterator[Tile]:
    if evidence.races:
        yield Tile(evidence.races[0].interval, "sooner at the same loss", evidence.races[0].title)
    for device in evidence.devices[:1]:
        for document, mode in _step(device, evidence, "kernels"):
            interval = format_interval(mode["speedup"], mode["low"], mode["high"])
            yield Tile(interval, "a training step", f"{document.body['config']}, {device.name}")
    promoted = sum(kernel.is_promoted for kernel in evidence.kernels)
    yield Tile(f"{promoted} of {len(evidence.kernels)}", "accepted kernels promoted", "used by training by default")
    cards = [card for device in evidence.devices for card in device.of("scorecard")]
    rate = says_in_short(cards[0]) if cards else "not yet measured"
    yield Tile(rate.partition(" (")[0], "wrong kernels accepted by the judge", rate.partition(" (")[2].rstrip(")"))


def _against(evidence: Evidence) -> Iterator[str]:
    """What a reader should know before saying yes."""
    behind = rows_behind(evidence.bench_rows)
    if behind:
        listed = ", ".join(behind[:6]) + (f" and {len(behind) - 6} more" if len(behind) > 6 else "")
        yield f"Not ahead of every rival in {len(behind)} of {len(evidence.bench_rows)} rows: {listed}."
    for device in evidence.devices[:1]:
        for document, mode in _step(device, evidence, "compile"):
            ratio = format_interval(mode["speedup"], mode["low"], mode["high"])
            yield f"torch.compile alone, without a kernel, makes a step of {document.about} {ratio} as fast."
    where = ", ".join(device.name for device in evidence.devices) or "this machine"
    yield f"Measured on {where}; elsewhere, run `kernelsearch race` before you rely on it."


def _step(device: Device, evidence: Evidence, name: str) -> list[tuple[Document, Mapping[str, Any]]]:
    """A device's measured step in one mode: of the configuration that was raced, else of the first there is."""
    found = [(d, mode) for d in device.of("step") for mode in d.body["modes"] if mode["name"] == name]
    raced = [pair for pair in found if evidence.races and pair[0].about == evidence.races[0].body["config"]]
    return (raced or found)[:1]
