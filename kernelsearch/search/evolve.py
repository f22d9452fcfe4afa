"""Population search without a model: mutation by one step, crossover of tunables and of whole functions.

A point is a source (a seed, or a graft of two) with its tunables bound. Each island keeps its own best points and
breeds from them: a child takes each function, and each tunable that came with it, from one of two parents, or differs
from one parent by one step. Now and then a parent comes from another island. Effects of tunables are mostly separate
on tile spaces, and those of forward and backward are entirely so, which is what crossover can use.

Islands and steady-state replacement: Whitley 1989, The GENITOR algorithm; Cantu-Paz 1998, A survey of parallel genetic
algorithms. Whether it beats climbing or chance is measured by bench/search_strategies.py.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kernelsearch.search.graft import all_templates
from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.search.space import Point, Shuffle, Space
from kernelsearch.spec import Candidate, Target

BREEDING_ATTEMPTS = 20
Gene = tuple[int, str]


@dataclass(frozen=True)
class Evolution:
    """How to breed: probabilities, and how many points an island keeps."""

    islands: int = 2
    members: int = 3
    crossover: float = 0.3
    migration: float = 0.2
    jump: float = 0.0


class EvolveProposer:
    """Every seed as given, then children of the best so far; no digest twice, and every point once in the end.

    Without a target, or where sources cannot be grafted, crossover mixes the tunables of one source only.
    """

    def __init__(
        self, seeds: Sequence[Candidate], seed: int, target: Target | None = None, how: Evolution | None = None
    ) -> None:
        given = Space(seeds)
        self._templates = all_templates(given.seeds, target)
        self._space = Space([template.candidate for template in self._templates])
        self._by_parts = {template.parts: index for index, template in enumerate(self._templates)}
        self._seed, self._how = seed, how or Evolution()
        self._rng = random.Random(seed)
        self._restarts = Shuffle(len(self._space), self._rng)
        self._defaults = deque(given.starts)  # the seeds are the first templates
        self._islands: list[dict[Point, float]] = [{} for _ in range(self._how.islands)]
        self._asked: dict[str, tuple[Point, int | None]] = {}
        self._seen: set[Point] = set()
        self._turn = 0

    @property
    def name(self) -> str:
        return "evolve"

    def describe(self) -> Mapping[str, Any]:
        return {
            "seed": self._seed,
            "seeds": [t.candidate.origin for t in self._templates if len(set(t.parts)) == 1],
            "templates": len(self._templates),
            "bindings": len(self._space),
            **asdict(self._how),
        }

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        island: int | None = None  # a seed as given belongs to all
        if self._defaults:
            point: Point | None = self._defaults.popleft()
        else:
            island = self._turn = (self._turn + 1) % len(self._islands)
            point = self._breed(island) or self._restart()
        if point is None:
            return None
        candidate = self._space.candidate(point)
        self._seen.add(point)
        self._asked[candidate.digest] = point, island
        return candidate

    def tell(self, trial: Trial) -> None:
        point, island = self._asked[trial.candidate.digest]
        if trial.score == REJECTED:
            return
        for members in self._islands if island is None else (self._islands[island],):
            members[point] = trial.score
            if len(members) > self._how.members:
                del members[min(members, key=members.__getitem__)]

    def _breed(self, island: int) -> Point | None:
        """An untried child; if chance finds none, an untried neighbour of anybody, the best first."""
        members = self._islands[island]
        if not members or self._rng.random() < self._how.jump:
            return None
        for _ in range(BREEDING_ATTEMPTS):
            parent = self._choose(members)
            if self._rng.random() < self._how.crossover:
                is_away = self._rng.random() < self._how.migration
                home = self._rng.choice([m for m in self._islands if m]) if is_away else members
                child = self._cross(parent, self._choose(home))
            else:
                child = self._rng.choice(self._space.neighbours(parent) or [parent])
            if child not in self._seen:
                return child
        everybody = {point: score for others in self._islands for point, score in others.items()}
        ranked = sorted(everybody, key=lambda point: -everybody[point])
        return next((n for point in ranked for n in self._space.neighbours(point) if n not in self._seen), None)

    def _choose(self, members: Mapping[Point, float]) -> Point:
        """The better of two drawn members."""
        drawn = self._rng.choices(list(members), k=2)
        return max(drawn, key=lambda point: members[point])

    def _cross(self, one: Point, other: Point) -> Point:
        """Each function from the source of one parent or the other, each tunable as a parent had it."""
        pair = self._templates[one[0]].parts, self._templates[other[0]].parts
        wanted = tuple(self._rng.choice(suppliers) for suppliers in zip(*pair, strict=True))
        template = self._by_parts.get(wanted, one[0])
        genes = [self._genes(one), self._genes(other)]
        self._rng.shuffle(genes)
        positions = []
        for gene in self._templates[template].names.values():
            carriers = [own[gene] for own in genes if gene in own]
            positions.append(self._rng.choice(carriers))
        return template, tuple(positions)

    def _genes(self, point: Point) -> dict[Gene, int]:
        template, positions = point
        return dict(zip(self._templates[template].names.values(), positions, strict=True))

    def _restart(self) -> Point | None:
        while (index := self._restarts.draw()) is not None:
            if (point := self._space.at(index)) not in self._seen:
                return point
        return None
