"""One pair of kernels through the gate: the new one proven, then both timed where their sources differ."""

from collections.abc import Callable
from dataclasses import dataclass

from kernelsearch.compare.decision import Decision, Meeting
from kernelsearch.compare.meeting import Gate, compare_kernels
from kernelsearch.compare.pairs import Change, Pair
from kernelsearch.compare.result import Row, Timing
from kernelsearch.compare.sides import Kernel
from kernelsearch.errors import BuildError, ContractError
from kernelsearch.spec import Verdict, Workload
from kernelsearch.verify.run import CandidateFailure

LARGEST_DISTANCE = 0.02
"""As far apart as the judge lets a timed output be from the baseline's, before it looks at every row."""

Prove = Callable[[Kernel, tuple[Workload, ...]], Verdict]


@dataclass(frozen=True)
class Examiner:
    """How pairs are examined: `prove` is the judge, None where it is not asked; `group` names the workloads."""

    gate: Gate
    prove: Prove | None
    group: str | None
    on_meeting: Callable[[str, Meeting], None] = lambda name, meeting: None

    def examine(self, pair: Pair) -> Row:
        base, head = (None if k is None else k.candidate.digest for k in (pair.base, pair.head))
        workloads = pair.workloads(self.group) if pair.head is not None else ()
        verdict = self.prove(pair.head, workloads) if self.prove and pair.head and pair.is_proven else None
        timings: tuple[Timing, ...] = ()
        problem = None
        if pair.change is Change.SOURCE and (verdict is None or verdict.passed):
            try:
                timings = self._time(pair, workloads)
            except (BuildError, ContractError, CandidateFailure) as error:
                problem = self._describe(error, is_proven=verdict is not None)
        problem = problem or self._find_disagreement(timings, is_proven=verdict is not None)
        notes = self._notes(pair, timings)
        kernel = pair.kernel
        return Row(kernel.target, kernel.name, pair.change, base, head, verdict, timings, notes, problem)

    def _time(self, pair: Pair, workloads: tuple[Workload, ...]) -> tuple[Timing, ...]:
        assert pair.base is not None and pair.head is not None
        timings = []
        for workload in workloads:
            decision = compare_kernels(
                pair.head.folder,
                workload,
                pair.base.candidate,
                pair.head.candidate,
                self.gate,
                lambda meeting, name=workload.name: self.on_meeting(name, meeting),  # type: ignore[misc]
            )
            timings.append(Timing(workload.name, decision))
        return tuple(timings)

    def _describe(self, error: Exception, *, is_proven: bool) -> str:
        whose = "the old kernel does not run under the new contract" if is_proven else "one of the kernels does not run"
        return f"{whose}: {str(error).splitlines()[0]}"

    def _find_disagreement(self, timings: tuple[Timing, ...], *, is_proven: bool) -> str | None:
        """An unproven kernel whose timed outputs are not those of the old one is no faster kernel."""
        worst = max((_distance(timing.decision) for timing in timings), default=0.0)
        if is_proven or worst <= LARGEST_DISTANCE:
            return None
        return f"unproven, and its outputs differ from the old kernel's by {worst:.2g} of their norm"

    def _notes(self, pair: Pair, timings: tuple[Timing, ...]) -> tuple[str, ...]:
        notes = []
        if pair.head is not None and not pair.head.is_recorded:
            notes.append("its provenance records another source, so that training will refuse it")
        if pair.base and pair.head and pair.base.folder.contract_digest != pair.head.folder.contract_digest:
            notes.append("the contract changed; both were timed and judged under the new one")
        if any(_distance(timing.decision) > LARGEST_DISTANCE for timing in timings):
            notes.append("its outputs differ from the old kernel's by more than the judge allows a timed call")
        return tuple(notes)


def _distance(decision: Decision) -> float:
    """The largest distance of any meeting; infinite where it is not a number."""
    found = [m.distance if m.distance == m.distance else float("inf") for m in decision.meetings]
    return max(found, default=0.0)
