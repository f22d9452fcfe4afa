"""The search space: every seed with every binding of the tunables that it declares."""

import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod

from kernelsearch.spec import Candidate, Value, tunable_space

# A seed's position and, for each of its tunables in order of declaration, the position of the bound value.
Point = tuple[int, tuple[int, ...]]


class Space:
    """Points and their candidates. Numbers are held in rising order: a step is to the next one, or to any other word.

    `seeds` are the distinct sources; one source given with two bindings is one seed with two of the `starts`.
    """

    def __init__(self, seeds: Sequence[Candidate]) -> None:
        unique: dict[tuple[str, str], Candidate] = {}
        for seed in seeds:
            unique.setdefault((seed.language, seed.source), seed)
        self.seeds = tuple(unique.values())
        self._tunables = [
            tuple((name, _ordered(values)) for name, values in tunable_space(seed.source).items())
            for seed in self.seeds
        ]
        numbers = {key: number for number, key in enumerate(unique)}
        self.starts = tuple(
            dict.fromkeys(self._point(numbers[seed.language, seed.source], seed.tunables) for seed in seeds)
        )
        self._ends = list(accumulate(prod(len(values) for _, values in tunables) for tunables in self._tunables))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _point(self, seed: int, bound: Mapping[str, Value]) -> Point:
        return seed, tuple(values.index(bound[name]) for name, values in self._tunables[seed])

    def at(self, index: int) -> Point:
        """The point numbered `index`, 0 <= index < len(self)."""
        seed = bisect_right(self._ends, index)
        rest = index - (self._ends[seed - 1] if seed else 0)
        positions = []
        for _, values in self._tunables[seed]:
            rest, position = divmod(rest, len(values))
            positions.append(position)
        return seed, tuple(positions)

    def candidate(self, point: Point) -> Candidate:
        seed, positions = point
        pairs = zip(self._tunables[seed], positions, strict=True)
        return self.seeds[seed].bind(**{name: values[position] for (name, values), position in pairs})

    def neighbours(self, point: Point) -> list[Point]:
        """The points that differ in one tunable by one step."""
        seed, positions = point
        found = []
        for axis, (_, values) in enumerate(self._tunables[seed]):
            here, count = positions[axis], len(values)
            steps = (here - 1, here + 1) if isinstance(values[0], int) else range(count)
            for step in steps:
                if 0 <= step < count and step != here:
                    found.append((seed, (*positions[:axis], step, *positions[axis + 1 :])))
        return found


def _ordered(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(sorted(values)) if all(isinstance(value, int) for value in values) else values


class Shuffle:
    """The numbers 0 to count - 1, each once, in uniformly random order; memory grows with the draws, not the count."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._left = count
        self._rng = rng
        self._moved: dict[int, int] = {}

    def draw(self) -> int | None:
        """The next number, or None after the last (Fisher and Yates, with only the moved entries stored)."""
        if self._left == 0:
            return None
        chosen = self._rng.randrange(self._left)
        self._left -= 1
        number = self._moved.get(chosen, chosen)
        self._moved[chosen] = self._moved.pop(self._left, self._left)
        return number
