"""The first screen: should I train with these kernels, how far the answer carries, and what speaks against it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kernelsearch.report.evidence import Evidence
from kernelsearch.report.measured import rows_behind
from kernelsearch.report.results import Document
from kernelsearch.report.scorecard import says_in_short
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
    step, interval = evidence.step, _mode(evidence.step, "kernels")
    if step is not None and interval is not None:
        yield Tile(interval, "a training step", f"{step.body['config']}, {evidence.devices[0].name}")
    promoted = sum(kernel.is_promoted for kernel in evidence.kernels)
    yield Tile(f"{promoted} of {len(evidence.kernels)}", "accepted kernels promoted", "used by training by default")
    cards = [card for device in evidence.devices for card in device.of("scorecard")]
    rate = says_in_short(cards[0].body) if cards else "not yet measured"
    yield Tile(rate.partition(" (")[0], "wrong kernels accepted by the judge", rate.partition(" (")[2].rstrip(")"))


def _against(evidence: Evidence) -> Iterator[str]:
    """What a reader should know before saying yes."""
    seeds = evidence.races[0].body.get("races", ())
    left = sum(race["equality"] == "different" for race in seeds)
    if left:
        yield f"Of {len(seeds)} seeds, the losses of {left} left the band that equal runs of the baseline keep to."
    behind = rows_behind(evidence.bench_rows)
    if behind:
        listed = ", ".join(behind[:6]) + (f" and {len(behind) - 6} more" if len(behind) > 6 else "")
        yield f"Not ahead of every rival in {len(behind)} of {len(evidence.bench_rows)} rows: {listed}."
    step, ratio = evidence.step, _mode(evidence.step, "compile")
    if step is not None and ratio is not None:
        yield f"torch.compile alone, without a kernel, makes a step of {step.about} {ratio} as fast."
    where = ", ".join(device.name for device in evidence.devices) or "this machine"
    yield f"Measured on {where}; elsewhere, run `kernelsearch race` before you rely on it."


def _mode(step: Document | None, name: str) -> str | None:
    """The ratio of one mode to eager PyTorch."""
    modes = step.body["modes"] if step is not None else ()
    found = next((mode for mode in modes if mode["name"] == name), None)
    return None if found is None else format_interval(found["speedup"], found["low"], found["high"])
