"""What a page is made from, and what is read out of it more than once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kernelsearch.dispatch.store import Accepted
from kernelsearch.ledger import Line, Objects
from kernelsearch.report.html.measured import Row, kernel_rows
from kernelsearch.report.html.results import Device
from kernelsearch.report.html.searches import Search, find_searches
from kernelsearch.report.html.training import Race, ledger_races, recorded_races
from kernelsearch.spec import TargetFolder


@dataclass(frozen=True)
class Evidence:
    """All that a page is made from. `folders` are the known targets by name; `kernels` what the store holds."""

    ledger: str
    lines: Sequence[Line]
    objects: Objects
    devices: tuple[Device, ...]
    folders: Mapping[str, TargetFolder]
    kernels: Sequence[Accepted]

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
