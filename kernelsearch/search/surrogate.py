"""Search by a model: after the seeds as given, always the untried point that promises most.

The model is a Gaussian process on 1 / speedup, with the covariance of likeness.py. How far a tunable's influence
reaches, and how noisy scores are, is what makes the scores so far likeliest. The next point is the one with the largest
expected improvement (Jones, Schonlau and Welch 1998, https://doi.org/10.1023/A:1008306431147). What was refused counts
as the worst seen.

The trap is BLAS with threads of its own: they spin for a while after each product, beside a judge that times.

Against climbing, breeding and chance on recorded spaces: bench/search_strategies.py.
"""

import random
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from math import erf
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from kernelsearch.search.graft import all_templates
from kernelsearch.search.likeness import Array, Encoded, Likeness
from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.search.space import Point, Shuffle, Space
from kernelsearch.spec import Candidate, Target

REACHES = (0.7, 1.5, 3.0)  # steps of a tunable
NOISES = (0.02, 0.1, 0.3)  # standard deviations of a score, in those of all scores
POOL, BEST = 3000, 5
CLIMB = 10
KNOWN = 200  # trials that the model is made of: the best half and the latest, where there are more
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
        self._likeness = Likeness(self._templates)
        self._fitted: tuple[int, tuple[float, float]] = (0, (REACHES[0], NOISES[0]))

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
        with blas().limit(limits=1, user_api="blas"):
            return pool[self._best_of(pool)]

    def _best_of(self, pool: Sequence[Point]) -> int:
        """The position of the point with the largest expected improvement."""
        of = self._known()
        times = self._times()[of]
        known, unknown = self._likeness.encode([self._points[i] for i in of]), self._likeness.encode(pool)
        reach, noise = self._likeliest(known, times)
        inside = self._likeness.covariance(known, known, reach) + noise**2 * np.eye(len(times))
        across = self._likeness.covariance(unknown, known, reach)
        solved = np.linalg.solve(inside, np.column_stack([times, across.T]))
        mean = across @ solved[:, 0]
        variance = self._likeness.variance - np.einsum("ij,ji->i", across, solved[:, 1:])
        gain = _expected_improvement(times.min() - mean, np.sqrt(np.maximum(variance, 1e-9)))
        return int(np.argmax(np.round(gain, 9)))  # rounded: the last bits of a sum are no reason

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

    def _known(self) -> list[int]:
        """Which trials the model is made of; its cost grows with the cube of their number."""
        numbers = range(len(self._points))
        if len(numbers) <= KNOWN:
            return list(numbers)
        latest = numbers[-KNOWN // 2 :]
        best = sorted(numbers[: -KNOWN // 2], key=lambda i: -self._scores[i])[: KNOWN // 2]
        return [*best, *latest]

    def _draw(self) -> Point | None:
        number = self._order.draw()
        return None if number is None else self._space.at(number)

    def _times(self) -> Array:
        """1 / speedup of every trial, what was refused at the worst of them; mean 0, standard deviation 1."""
        raw = np.array([np.nan if score <= 0 else 1 / score for score in self._scores])
        raw = np.where(np.isnan(raw), np.nanmax(raw), raw)
        return np.asarray((raw - raw.mean()) / max(raw.std(), 1e-12))

    def _likeliest(self, known: Encoded, times: Array) -> tuple[float, float]:
        """The reach and the noise under which these times are likeliest; asked again before the next, the same."""
        if self._fitted[0] != len(self._points):
            found = {}
            for reach in REACHES:
                covariance = self._likeness.covariance(known, known, reach)
                for noise in NOISES:
                    inside = covariance + noise**2 * np.eye(len(times))
                    _, size = np.linalg.slogdet(inside)
                    found[reach, noise] = -0.5 * float(times @ np.linalg.solve(inside, times) + size)
            self._fitted = len(self._points), max(found, key=lambda pair: round(found[pair], 6))
        return self._fitted[1]


@cache
def blas() -> ThreadpoolController:
    """The libraries that numpy calls, found once."""
    return ThreadpoolController()


def _expected_improvement(margin: Array, deviation: Array) -> Array:
    """By how much a normal value is expected to fall below the best, counting what does not as 0."""
    z = margin / deviation
    below = 0.5 * (1 + _erf(z / np.sqrt(2)))
    return np.asarray(margin * below + deviation * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
