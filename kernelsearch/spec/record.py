"""What a judged candidate leaves behind: gates, measurements and the verdict that sums them up.

A verdict is the judge's answer; a ledger line is that answer plus when, where and by which harness (ledger/).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The outcome of a trial; every one but PASSED names the kind of gate that ended it.

    SLOWER: right on a few inputs and clearly slower than what it was to beat, so that nobody went on to prove it.
    """

    PASSED = "PASSED"
    SLOWER = "SLOWER"
    LINT = "LINT"
    BUILD = "BUILD"
    CONTRACT = "CONTRACT"
    MISMATCH = "MISMATCH"
    GRADIENT = "GRADIENT"
    PROPERTY = "PROPERTY"
    DETERMINISM = "DETERMINISM"
    INTEGRITY = "INTEGRITY"
    CRASH = "CRASH"
    TIMEOUT = "TIMEOUT"
    INFRASTRUCTURE = "INFRASTRUCTURE"


@dataclass(frozen=True)
class Gate:
    """One check, whether it passed, and what it cost."""

    name: str
    passed: bool
    seconds: float


@dataclass(frozen=True)
class Measurement:
    """Paired latencies on one workload: `speedup = baseline_us / candidate_us` with its 95% interval.

    `noise` is the A/A control of the same rounds: the relative difference up to which this machine, at this moment,
    cannot tell two identical programs apart. `disturbed` is the share of rounds in which other programs took a core.
    """

    workload: str
    dtype: str
    passes: str
    speedup: float
    low: float
    high: float
    candidate_us: float
    baseline_us: float
    speed_of_light_us: float
    noise: float
    rounds: int
    calls: float
    disturbed: float = 0.0


@dataclass(frozen=True)
class Resources:
    """What the compiler gave one GPU kernel: per thread registers and bytes of stack, per block shared memory.

    `occupancy` is the share of a multiprocessor's warps that these leave room for; `blocks` is its largest grid in the
    timed workloads, 0 in records that do not say. Triton and CUDA C kernels have no
    arrays of their own in memory unless they say so, so a stack is registers that were spilled.
    """

    kernel: str
    architecture: int
    registers: int
    stack_bytes: int
    shared_bytes: int
    warps: int
    occupancy: float
    blocks: int = 0


@dataclass(frozen=True)
class Verdict:
    """All that the judge says of one candidate. `counterexample` is the smallest failing case, without seeds."""

    target: str
    digest: str
    language: str
    dtype: str
    status: Status
    detail: str
    seconds: float
    accepted: bool = False
    counterexample: str | None = None
    gates: tuple[Gate, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    equivalence: str | None = None
    domain: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    resources: tuple[Resources, ...] = ()

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict_from_json(value: Mapping[str, Any]) -> Verdict:
    """The verdict that `Verdict.as_json` wrote."""
    fields = dict(value)
    fields["status"] = Status(fields["status"])
    fields["gates"] = tuple(Gate(**gate) for gate in fields["gates"])
    fields["measurements"] = tuple(Measurement(**m) for m in fields["measurements"])
    fields["resources"] = tuple(Resources(**r) for r in fields.get("resources", ()))
    fields["domain"] = {e: {a: (int(r[0]), int(r[1])) for a, r in axes.items()} for e, axes in fields["domain"].items()}
    return Verdict(**fields)
