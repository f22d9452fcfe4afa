"""What a report is made from, and what is read out of it more than once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kernelsearch.dispatch.store import Accepted
from kernelsearch.ideas import Entry
from kernelsearch.ledger import Line, Objects
from kernelsearch.report.history import Series
from kernelsearch.report.measured import Row, kernel_rows
from kernelsearch.report.results import Device, Document
from kernelsearch.report.searches import Search, find_searches
from kernelsearch.report.training import Race, ledger_races, recorded_races
from kernelsearch.spec import TargetFolder


@dataclass(frozen=True)
class Evidence:
    """All that a report is made from.

    `folders` are the known targets by name; `kernels` what the store holds; `ideas` those that come with the targets;
    `history` the recorded ratios over dates and commits.
    """

    ledger: str
    lines: Sequence[Line]
    objects: Objects
    devices: tuple[Device, ...]
    folders: Mapping[str, TargetFolder]
    kernels: Sequence[Accepted]
    ideas: Sequence[Entry] = ()
    history: Sequence[Series] = ()

    @cached_property
    def searches(self) -> tuple[Search, ...]:
        return find_searches(self.lines)

    @cached_property
    def races(self) -> tuple[Race, ...]:
        """The newest of this ledger first, because it ran on this machine; then the recorded ones."""
        return ledger_races(self.lines)[:1] + recorded_races(self.devices)

    @cached_property
    def bench_rows(self) -> list[Row]:
        return [row for device in self.devices for bench in device.of("bench") for row in kernel_rows(bench)]

    @cached_property
    def step(self) -> Document | None:
        """The measured step of the first machine: of the configuration that was raced, else of the first there is."""
        steps = self.devices[0].of("step") if self.devices else ()
        raced = [step for step in steps if self.races and step.about == self.races[0].body["config"]]
        return next(iter((*raced, *steps)), None)
