"""What a comparison found: a row for each kernel, with its sentence, and whether the gate holds."""

from dataclasses import asdict, dataclass
from typing import Any

from kernelsearch.compare.decision import Decision, Outcome
from kernelsearch.compare.pairs import Change
from kernelsearch.spec import Verdict


@dataclass(frozen=True)
class Timing:
    workload: str
    decision: Decision


@dataclass(frozen=True)
class Row:
    """One kernel. `problem` says why its times do not count; `verdict` is what the judge says of the new one."""

    target: str
    kernel: str
    change: Change
    base: str | None
    head: str | None
    verdict: Verdict | None = None
    timings: tuple[Timing, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_refuted(self) -> bool:
        return self.verdict is not None and not self.verdict.passed

    def fails(self, *, is_noise_failure: bool) -> bool:
        bad = {Outcome.SLOWER, Outcome.NOISY} if is_noise_failure else {Outcome.SLOWER}
        return self.is_refuted or self.problem is not None or any(t.decision.outcome in bad for t in self.timings)

    @property
    def sentence(self) -> str:
        return f"{self.target} {self.kernel}: {self._answer}"

    @property
    def _answer(self) -> str:
        if self.verdict is not None and not self.verdict.passed:
            return f"not equal any more, {self.verdict.status}: {self.verdict.detail}"
        if self.problem is not None:
            return self.problem
        if len(self.timings) == 1:
            return self.timings[0].decision.sentence
        if self.timings:
            return "; ".join(f"{timing.decision.sentence} on {timing.workload}" for timing in self.timings)
        return f"{self.change}, proven" if self.verdict is not None else str(self.change)

    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "kernel": self.kernel,
            "change": str(self.change),
            "sentence": self.sentence,
            "base": self.base,
            "head": self.head,
            "verdict": self.verdict.as_json() if self.verdict else None,
            "timings": [
                {
                    "workload": t.workload,
                    **asdict(t.decision),
                    "outcome": str(t.decision.outcome),
                    "noise": t.decision.noise,
                    "sentence": t.decision.sentence,
                }
                for t in self.timings
            ],
            "notes": list(self.notes),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Comparison:
    """Both sides and every kernel's row. `device` and `threads` say where it was measured.

    A side that is no commit, the working tree or a folder, has None for it.
    """

    base: str
    head: str
    device: str
    threads: int
    tolerance: float
    is_noise_failure: bool
    rows: tuple[Row, ...]
    seconds: float
    environment: dict[str, Any]
    base_commit: str | None = None
    head_commit: str | None = None

    @property
    def failures(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.fails(is_noise_failure=self.is_noise_failure))

    @property
    def holds(self) -> bool:
        return not self.failures

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        timed = sum(bool(row.timings) for row in self.rows)
        same = sum(row.change is Change.SAME for row in self.rows)
        counted = f"{timed} timed, {same} unchanged and not timed, {len(self.rows) - timed - same} other"
        unclear = sum(any(t.decision.outcome is Outcome.NOISY for t in row.timings) for row in self.rows)
        if self.holds and unclear:
            return f"No kernel was seen slower by more than {self.tolerance:.1%}; {unclear} too noisy ({counted})."
        if self.holds:
            return f"No kernel is slower by more than {self.tolerance:.1%} ({counted})."
        return f"{len(self.failures)} of {len(self.rows)} kernels fail the gate ({counted})."

    def as_json(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "summary": self.summary,
            "base": self.base,
            "base_commit": self.base_commit,
            "head": self.head,
            "head_commit": self.head_commit,
            "device": self.device,
            "threads": self.threads,
            "tolerance": self.tolerance,
            "noisy": "fail" if self.is_noise_failure else "pass",
            "kernels": [row.as_json() for row in self.rows],
            "environment": self.environment,
            "seconds": self.seconds,
        }
