"""Which kernels of two sides meet, and what is said of those that do not."""

from dataclasses import dataclass
from enum import StrEnum

from kernelsearch.compare.sides import Kernel, Side
from kernelsearch.errors import UsageError
from kernelsearch.spec import Workload

TIMED_DEVICE = "cpu"


class Change(StrEnum):
    SAME = "unchanged"
    ADDED = "new"
    REMOVED = "removed"
    CONTRACT = "contract changed"
    SOURCE = "changed"
    ELSEWHERE = "not timed on this device"


@dataclass(frozen=True)
class Pair:
    """A kernel of both sides, or of one; timed under the contract of the new side."""

    change: Change
    base: Kernel | None
    head: Kernel | None

    @property
    def kernel(self) -> Kernel:
        found = self.head or self.base
        assert found is not None, "a pair has at least one side"
        return found

    @property
    def is_proven(self) -> bool:
        """Whether the new side's kernel has to prove itself."""
        return self.change in (Change.SOURCE, Change.CONTRACT, Change.ADDED)

    def workloads(self, group: str | None) -> tuple[Workload, ...]:
        """The named group; by default what the new kernel was accepted on, or else the first group of its target."""
        every = self.kernel.folder.workloads(group, self.kernel.dtype)
        if group is not None:
            return every
        chosen = tuple(w for w in every if w.name in self.kernel.workloads)
        return chosen or tuple(w for w in every if w.group == every[0].group)


def pair_up(base: Side, head: Side, targets: tuple[str, ...]) -> list[Pair]:
    """All kernels of both sides, of the named targets; two single kernels of one target meet whatever their names."""
    old, new = (_chosen(side, targets) for side in (base, head))
    if len(old) == len(new) == 1:
        ((own, a),), ((_, b),) = old.items(), new.items()
        if a.target != b.target:
            raise UsageError(
                f"{base.name} is for {a.target} and {head.name} for {b.target}: compare kernels of one target"
            )
        new = {own: b}
    return [_pair(old.get(key), new.get(key)) for key in sorted({*old, *new})]


def _chosen(side: Side, targets: tuple[str, ...]) -> dict[tuple[str, str], Kernel]:
    return {key: kernel for key, kernel in side.kernels.items() if not targets or kernel.target in targets}


def _pair(base: Kernel | None, head: Kernel | None) -> Pair:
    kernel = head or base
    assert kernel is not None
    if kernel.device != TIMED_DEVICE:
        return Pair(Change.ELSEWHERE, base, head)
    if base is None or head is None:
        return Pair(Change.ADDED if base is None else Change.REMOVED, base, head)
    if base.candidate.digest != head.candidate.digest:
        return Pair(Change.SOURCE, base, head)
    is_same = base.folder.contract_digest == head.folder.contract_digest
    return Pair(Change.SAME if is_same else Change.CONTRACT, base, head)
