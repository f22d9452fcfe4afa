"""Search over the tunables that the seeds declare: restarted local search, and the random search it has to beat.

Local search climbs by single steps, first from the best seed, then from the others, then from random points. On small
discrete tile spaces with rejected points and noise this simple strategy held its own against model-based ones in
published comparisons (van Werkhoven 2019, Kernel Tuner, https://doi.org/10.1016/j.future.2018.08.004). Random search
beside it, with the same number of trials, shows whether the climbing was worth anything.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.search.space import Point, Shuffle, Space
from kernelsearch.spec import Candidate


class SweepProposer:
    """Every seed as given, then restarted local search; no digest twice, and every binding once in the end."""

    def __init__(self, seeds: Sequence[Candidate], seed: int) -> None:
        self._space = Space(seeds)
        self._seed = seed
        self._rng = random.Random(seed)
        self._restarts = Shuffle(len(self._space), self._rng)
        self._defaults = deque(self._space.starts)
        self._starts: list[Point] = []
        self._asked: dict[str, Point] = {}
        self._seen: set[Point] = set()
        self._scores: dict[Point, float] = {}
        self._current: Point | None = None

    @property
    def name(self) -> str:
        return "sweep"

    def describe(self) -> Mapping[str, Any]:
        return {"seed": self._seed, "seeds": [s.origin for s in self._space.seeds], "bindings": len(self._space)}

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        point = self._defaults.popleft() if self._defaults else self._climb()
        if point is None:
            return None
        candidate = self._space.candidate(point)
        self._seen.add(point)
        self._asked[candidate.digest] = point
        return candidate

    def tell(self, trial: Trial) -> None:
        point = self._asked[trial.candidate.digest]
        self._scores[point] = trial.score
        if trial.score == REJECTED:
            return
        if len(self._scores) <= len(self._space.starts):
            self._starts.append(point)
        elif self._current is None or trial.score > self._scores[self._current]:
            self._current = point

    def _climb(self) -> Point | None:
        """An untried neighbour of the point reached, of the best seed not yet climbed from, or a random point."""
        self._starts.sort(key=lambda point: self._scores[point])
        while self._current is not None or self._starts:
            self._current = self._current or self._starts.pop()
            untried = [point for point in self._space.neighbours(self._current) if point not in self._seen]
            if untried:
                return self._rng.choice(untried)
            self._current = None
        return self._restart()

    def _restart(self) -> Point | None:
        while (index := self._restarts.draw()) is not None:
            if (point := self._space.at(index)) not in self._seen:
                return point
        return None


class RandomProposer:
    """Uniform over all seeds and bindings, without replacement: the search that a smart one has to beat."""

    def __init__(self, seeds: Sequence[Candidate], seed: int) -> None:
        self._space = Space(seeds)
        self._seed = seed
        self._order = Shuffle(len(self._space), random.Random(seed))

    @property
    def name(self) -> str:
        return "random"

    def describe(self) -> Mapping[str, Any]:
        return {"seed": self._seed, "seeds": [s.origin for s in self._space.seeds], "bindings": len(self._space)}

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        index = self._order.draw()
        return None if index is None else self._space.candidate(self._space.at(index))

    def tell(self, trial: Trial) -> None:
        pass
