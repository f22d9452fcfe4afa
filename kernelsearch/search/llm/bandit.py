"""Which of several models is asked next: more often the one whose calls more often brought the study forward.

Thompson sampling: each model has a Beta distribution over the chance that its next call gives a new best kernel, from
the calls it had so far, and the highest of one draw each is asked (Thompson 1933; Chapelle and Li 2011, An empirical
evaluation of Thompson sampling). Improvements get rarer as a study goes on, so that old calls count less: at every call
the past is discounted by MEMORY. Every model has its first call before any has its second. A draw depends on
the seed and on the number of the call alone, so that a study which is started again draws the same.
"""

import random
from collections.abc import Collection, Sequence

MEMORY = 0.95


class Bandit:
    """Arms by name, in the order of their first calls."""

    def __init__(self, arms: Sequence[str], seed: int) -> None:
        self._seed = seed
        self._wins = dict.fromkeys(arms, 0.0)
        self._losses = dict.fromkeys(arms, 0.0)
        self._calls = dict.fromkeys(arms, 0)

    def choose(self, number: int, among: Collection[str]) -> str:
        """The arm for call `number`, of those in `among`."""
        fresh = [arm for arm in self._calls if arm in among and self._calls[arm] == 0]
        if fresh:
            return fresh[0]
        rng = random.Random(f"{self._seed} {number}")
        draws = {arm: rng.betavariate(1 + self._wins[arm], 1 + self._losses[arm]) for arm in self._calls}
        return max((arm for arm in draws if arm in among), key=lambda arm: draws[arm])

    def count(self, arm: str, *, is_improvement: bool) -> None:
        self._calls[arm] += 1
        for counts, happened in ((self._wins, is_improvement), (self._losses, not is_improvement)):
            for name in counts:
                counts[name] *= MEMORY
            counts[arm] += happened

    def calls(self) -> dict[str, int]:
        return dict(self._calls)
