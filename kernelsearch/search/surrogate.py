"""Search by a model: after the seeds as given, always the untried point that promises most.

The model is a Gaussian process on 1 / speedup whose covariance is built as a candidate is: its time is a sum over its
functions, and two candidates tell of each other's function as far as it comes from the same seed with its tunables
bound alike. Each function has a part for its seed, one for each tunable by itself, and one for all of them together;
steps between rising numbers count, words are equal or not. How far a tunable's influence reaches, and how noisy scores
are, is what makes the scores so far likeliest. The next point is the one with the largest expected improvement
(Jones, Schonlau and Welch 1998, https://doi.org/10.1023/A:1008306431147). What was refused counts as the worst seen.

Against climbing, breeding and chance on recorded spaces: bench/search_strategies.py.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from math import erf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelsearch.search.graft import all_templates
from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.search.space import Point, Shuffle, Space
from kernelsearch.spec import Candidate, Target, tunable_space

Array = NDArray[np.float64]
REACHES = (0.7, 1.5, 3.0)  # steps of a tunable
NOISES = (0.02, 0.1, 0.3)  # standard deviations of a score, in those of all scores
SEED, ALONE, TOGETHER = 1.0, 1.0, 0.5  # variances of the three parts
POOL, BEST = 3000, 5
CLIMB = 10
_erf = np.vectorize(erf, otypes=[float])


class SurrogateProposer:
    """No digest twice, and every point once in the end. Of spaces above POOL points, a random part is looked at."""

    def __init__(self, seeds: Sequence[Candidate], seed: int, target: Target | None = None) -> None:
        given = Space(seeds)
        self._templates = all_templates(given.seeds, target)
        self._space = Space([template.candidate for template in self._templates])
        self._seed, self._rng = seed, random.Random(seed)
        self._defaults = deque(given.starts)  # the seeds are the first templates
        self._order = Shuffle(len(self._space), self._rng)
        self._asked: dict[str, Point] = {}
        self._seen: set[Point] = set()
        self._points: list[Point] = []
        self._scores: list[float] = []
        genes = dict.fromkeys(gene for template in self._templates for gene in template.names.values())
        self._columns = {gene: column for column, gene in enumerate(genes)}
        self._is_number = {gene: self._holds_numbers(gene) for gene in genes}

    @property
    def name(self) -> str:
        return "surrogate"

    def describe(self) -> Mapping[str, Any]:
        return {
            "seed": self._seed,
            "seeds": [t.candidate.origin for t in self._templates if len(set(t.parts)) == 1],
            "templates": len(self._templates),
            "bindings": len(self._space),
        }

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        point = self._defaults.popleft() if self._defaults else self._most_promising()
        if point is None:
            return None
        candidate = self._space.candidate(point)
        self._seen.add(point)
        self._asked[candidate.digest] = point
        return candidate

    def tell(self, trial: Trial) -> None:
        self._points.append(self._asked[trial.candidate.digest])
        self._scores.append(trial.score)

    def _most_promising(self) -> Point | None:
        pool = self._untried()
        if not pool or all(score == REJECTED for score in self._scores):
            return pool[0] if pool else None
        times = self._times()
        known, unknown = self._features(self._points), self._features(pool)
        reach, noise = self._likeliest(known, times)
        inside = self._covariance(known, known, reach) + noise**2 * np.eye(len(times))
        across = self._covariance(unknown, known, reach)
        solved = np.linalg.solve(inside, np.column_stack([times, across.T]))
        mean = across @ solved[:, 0]
        variance = self._covariance_of_one() - np.einsum("ij,ji->i", across, solved[:, 1:])
        gain = _expected_improvement(times.min() - mean, np.sqrt(np.maximum(variance, 1e-9)))
        return pool[int(np.argmax(np.round(gain, 9)))]  # rounded: the last bits of a sum are no reason

    def _untried(self) -> list[Point]:
        """Every point not tried yet in random order; of a large space as many as one looks at.

        While little is known, only steps from the best point: a model of a few scores explores where climbing gains.
        """
        if len(self._points) < CLIMB:
            top = max(range(len(self._points)), key=self._scores.__getitem__)
            near = [point for point in self._space.neighbours(self._points[top]) if point not in self._seen]
            if near:
                return self._rng.sample(near, len(near))
        if len(self._space) <= POOL:
            order = self._rng.sample(range(len(self._space)), len(self._space))
            return [point for point in map(self._space.at, order) if point not in self._seen]
        best = sorted(range(len(self._points)), key=lambda i: -self._scores[i])[:BEST]
        near = [n for i in best for n in self._space.neighbours(self._points[i])]
        drawn = [self._space.at(self._rng.randrange(len(self._space))) for _ in range(POOL)]
        pool = [point for point in dict.fromkeys(near + drawn) if point not in self._seen]
        return pool or [point for point in iter(self._draw, None) if point not in self._seen][:1]

    def _draw(self) -> Point | None:
        number = self._order.draw()
        return None if number is None else self._space.at(number)

    def _times(self) -> Array:
        """1 / speedup of every trial, what was refused at the worst of them; mean 0, standard deviation 1."""
        raw = np.array([np.nan if score <= 0 else 1 / score for score in self._scores])
        raw = np.where(np.isnan(raw), np.nanmax(raw), raw)
        return np.asarray((raw - raw.mean()) / max(raw.std(), 1e-12))

    def _features(self, points: Sequence[Point]) -> Array:
        """A row a point: which seed supplies each function, then the position of each seed's each tunable, or NaN."""
        width = len(self._templates[0].parts)
        rows = np.full((len(points), width + len(self._columns)), np.nan)
        for row, (index, positions) in zip(rows, points, strict=True):
            template = self._templates[index]
            row[:width] = template.parts
            for gene, position in zip(template.names.values(), positions, strict=True):
                row[width + self._columns[gene]] = position
        return rows

    def _covariance(self, some: Array, others: Array, reach: float) -> Array:
        width = len(self._templates[0].parts)
        total = np.zeros((len(some), len(others)))
        for seed in sorted({owner for owner, _ in self._columns} | {p for t in self._templates for p in t.parts}):
            alike = []
            for gene, column in self._columns.items():
                if gene[0] == seed:
                    steps = np.abs(some[:, None, width + column] - others[None, :, width + column])
                    steps = steps if self._is_number[gene] else (steps > 0) * 2.0
                    alike.append(np.nan_to_num(np.exp(-steps / reach)))
            alone = np.mean(alike, axis=0) if alike else np.ones_like(total)
            together = np.prod(alike, axis=0) if alike else np.ones_like(total)
            near = SEED + ALONE * alone + TOGETHER * together
            for function in range(width):
                is_of_seed = (some[:, None, function] == seed) & (others[None, :, function] == seed)
                total += is_of_seed * near
        return total / width

    def _covariance_of_one(self) -> float:
        """Of a point with itself."""
        return SEED + ALONE + TOGETHER

    def _likeliest(self, known: Array, times: Array) -> tuple[float, float]:
        """The reach and the noise under which these times are likeliest."""
        found = {}
        for reach in REACHES:
            covariance = self._covariance(known, known, reach)
            for noise in NOISES:
                inside = covariance + noise**2 * np.eye(len(times))
                _, size = np.linalg.slogdet(inside)
                found[reach, noise] = -0.5 * float(times @ np.linalg.solve(inside, times) + size)
        return max(found, key=lambda pair: round(found[pair], 6))

    def _holds_numbers(self, gene: tuple[int, str]) -> bool:
        """Whether the tunable's values are numbers, which are held in rising order."""
        owner, name = gene
        values = next(
            tunable_space(t.candidate.source)[own]
            for t in self._templates
            for own, there in t.names.items()
            if there == (owner, name)
        )
        return all(isinstance(value, int) for value in values)


def _expected_improvement(margin: Array, deviation: Array) -> Array:
    """By how much a normal value is expected to fall below the best, counting what does not as 0."""
    z = margin / deviation
    below = 0.5 * (1 + _erf(z / np.sqrt(2)))
    return np.asarray(margin * below + deviation * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
