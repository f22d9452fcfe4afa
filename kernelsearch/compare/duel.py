"""Two kernels of one target on the same inputs, each in a runner of its own, by the judge's clock.

Windows, freezing of whoever is not timed, fresh inputs in every round and poisoned outputs are those of a verdict; only
that the opponent is a second kernel instead of the baseline.
"""

from pathlib import Path

import numpy as np

from kernelsearch.sandbox.contenders import TimedCandidate
from kernelsearch.sandbox.contest import WINDOW_S
from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.stage import Stage
from kernelsearch.spec import Candidate, TargetFolder, Workload
from kernelsearch.spec.candidate import saved_tensors
from kernelsearch.timing.clock import Effort, measure
from kernelsearch.timing.statistics import Samples


class Duel:
    """Two runners ready to be timed; `distance` is how far apart their answers to the same inputs were at most."""

    def __init__(
        self,
        folder: TargetFolder,
        workload: Workload,
        candidates: tuple[Candidate, Candidate],
        *,
        cache_dir: Path,
        threads: int,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._stages: list[Stage] = []
        self.sides: list[TimedCandidate] = []
        self._indices: list[list[int]] = []
        self.distance = 0.0
        try:
            for candidate in candidates:
                self._add_side(folder, workload, candidate, cache_dir, threads)
            self._choose_calls()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Duel":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        for stage, side in zip(self._stages, self.sides, strict=True):
            stage.detach()
            side.execution.session.close()
        self._stages, self.sides = [], []

    def measure(self, effort: Effort) -> Samples:
        """Paired samples, the first side as candidate; the second is measured twice, for the A/A control."""
        return measure(self.sides[0], self.sides[1], self.refresh, self._check, effort, self._rng)

    def refresh(self) -> None:
        """Other inputs in other slots, the same for both."""
        own, other = self._stages
        self._indices = [stage.draw(self._calls) for stage in self._stages]
        own.refresh(self._indices[0])
        other.refresh_like(own, self._indices[1], self._indices[0])
        for side, indices in zip(self.sides, self._indices, strict=True):
            side.load(indices)

    def _add_side(
        self, folder: TargetFolder, workload: Workload, candidate: Candidate, cache_dir: Path, threads: int
    ) -> None:
        saved = saved_tensors(candidate.declared, folder.target, workload.entry)
        stage = Stage(folder, workload, saved, self._rng)
        execution = Execution(
            folder.target,
            candidate,
            workload.dtype,
            region_bytes=stage.region_bytes,
            cache_dir=cache_dir,
            threads=threads,
            rng=self._rng,
        )
        try:
            stage.attach(execution.session)
            side = TimedCandidate(stage, execution, threads)
        except BaseException:
            stage.detach()
            execution.session.close()
            raise
        self._stages.append(stage)
        self.sides.append(side)

    def _choose_calls(self) -> None:
        """As many calls as fill a window of the faster side, judging by the second of two single calls."""
        self._calls, one = 1, WINDOW_S
        for _ in range(2):  # the first warms
            self.refresh()
            one = min(side.window() for side in self.sides)
        most = min(stage.most_calls for stage in self._stages)
        self._calls = min(most, max(1, round(WINDOW_S / max(one, 1e-7))))

    def _check(self) -> None:
        """Notes how far the two sides' outputs of this round are apart; NaN, such as what was not written, stays."""
        own, other = self._stages
        names = [t.name for t in (*own.entry.outputs, *own.entry.input_gradients() * own.backward)]
        for here, there in zip(*self._indices, strict=True):
            for name in (*names, *own.entry.updates):
                a, b = own.slots[here][name].float(), other.slots[there][name].float()
                distance = float((a - b).norm()) / max(float(b.norm()), 1e-30)
                # not (distance <= known): written this way so that NaN stays.
                if not distance <= self.distance and self.distance == self.distance:
                    self.distance = distance
