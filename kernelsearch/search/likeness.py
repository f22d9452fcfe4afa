"""How alike the times of two points of a search space are expected to be: the covariance of a Gaussian process.

Built as a candidate is: its time is a sum over its functions, and two candidates tell of each other's function as far
as it comes from the same seed with its tunables bound alike. Each function has a part for its seed, one for each
tunable by itself, and one for all of them together; steps between rising numbers count, words are equal or not.

A point is encoded by a column for each value of each tunable, so that a covariance is a few matrix products: a pool of
thousands against hundreds takes milliseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernelsearch.search.graft import Template
from kernelsearch.search.space import Point
from kernelsearch.spec import tunable_space

Array = NDArray[np.float64]
SEED, ALONE, TOGETHER = 1.0, 1.0, 0.5  # variances of the three parts
ANOTHER_WORD = 2.0  # as far as two steps


@dataclass(frozen=True)
class Encoded:
    """Points: `parts` (n, functions) names each function's seed, `values` (n, columns) has a 1 for each bound value."""

    parts: NDArray[np.int64]
    values: Array


@dataclass(frozen=True)
class _Tunables:
    """One seed's: how many there are, their columns, and the steps between any two values of each, else 0."""

    count: int
    columns: slice
    steps: Array
    is_same_tunable: Array


class Likeness:
    """Of points whose first number is a template's position and whose others are positions of its tunables' values."""

    variance = SEED + ALONE + TOGETHER  # of a point with itself

    def __init__(self, templates: Sequence[Template]) -> None:
        self._templates = templates
        self._functions = len(templates[0].parts)
        spaces = {
            gene: tunable_space(template.candidate.source)[own]
            for template in templates
            for own, gene in template.names.items()
        }
        self._first: dict[tuple[int, str], int] = {}
        self._tunables: dict[int, _Tunables] = {}
        column = 0
        for seed in sorted({part for template in templates for part in template.parts}):
            genes = [gene for gene in spaces if gene[0] == seed]
            begin = column
            for gene in genes:
                self._first[gene] = column
                column += len(spaces[gene])
            steps, is_same = np.zeros((column - begin,) * 2), np.zeros((column - begin,) * 2)
            for gene in genes:
                block = slice(self._first[gene] - begin, self._first[gene] - begin + len(spaces[gene]))
                steps[block, block] = _steps(len(spaces[gene]), all(isinstance(v, int) for v in spaces[gene]))
                is_same[block, block] = 1.0
            self._tunables[seed] = _Tunables(len(genes), slice(begin, column), steps, is_same)
        self._width = column

    def encode(self, points: Sequence[Point]) -> Encoded:
        index = np.array([point[0] for point in points], dtype=np.int64)
        parts = np.array([template.parts for template in self._templates], dtype=np.int64)[index]
        values = np.zeros((len(points), self._width))
        for number in sorted({point[0] for point in points}):
            rows = np.flatnonzero(index == number)
            positions = np.array([points[int(row)][1] for row in rows], dtype=np.int64)
            for axis, gene in enumerate(self._templates[number].names.values()):
                values[rows, self._first[gene] + positions[:, axis]] = 1.0
        return Encoded(parts, values)

    def covariance(self, some: Encoded, others: Encoded, reach: float) -> Array:
        """(n, m), where `reach` is how many steps a tunable's influence reaches."""
        total = np.zeros((len(some.parts), len(others.parts)))
        for seed, tunables in self._tunables.items():
            n_shared = (some.parts == seed).astype(float) @ (others.parts == seed).T.astype(float)
            left, right = some.values[:, tunables.columns], others.values[:, tunables.columns].T
            alike = tunables.is_same_tunable * np.exp(-tunables.steps / reach)
            alone = left @ (alike @ right) / tunables.count if tunables.count else 1.0
            together = np.exp(-(left @ (tunables.steps @ right)) / reach)
            total += n_shared * (SEED + ALONE * alone + TOGETHER * together)
        return total / self._functions


def _steps(count: int, is_rising: bool) -> Array:
    places = np.arange(count)
    steps = np.abs(places[:, None] - places)
    return np.asarray(steps if is_rising else (steps > 0) * ANOTHER_WORD, dtype=float)
