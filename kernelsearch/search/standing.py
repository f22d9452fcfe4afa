"""What the next trial on a target is worth, from what its trials so far brought.

Amdahl's law says what a kernel can be worth: the target's time in a training step, less what the machine needs for it
at best. How much of that the next trial brings is estimated from the trajectory: after n trials without an improvement
the next one improves with probability 1 / (n + 2) (Laplace's rule of succession), by as much as the last improvement
did, within limits. Divided by what a trial costs, that is a rate, microseconds of a step saved for each second of
search, and rates of different targets compare: one works where the rate is highest and leaves when another's is clearly
higher (the marginal value theorem, Charnov 1976, https://doi.org/10.1016/0040-5809(76)90040-X).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kernelsearch.search.proposer import REJECTED, Trial

# A target nobody looked at: half of what is left in a minute. Seeds alone are 1.1x to 8x eager (README), in about a
# minute of judging; a guess that is replaced by the target's own record after its first visit.
FIRST_SHARE, FIRST_S = 0.5, 60.0
# What an improvement is worth at least, of what is left: without it a target whose first trials failed had no future.
LEAST_SHARE = 0.02
# And at most: what one trial closed of a gap, as a better seed does, the next will not close again.
MOST_SHARE = 0.25
# A machine's peaks measured in a bad moment can lie above what was timed later: that leaves nothing out of the search.
LEAST_LEFT = 0.02
# Coming back costs a start of some seconds, so another target must be half as good again.
LEAVING_FACTOR = 1.5
FAILURES = 2
Spans = Mapping[str, Sequence[str]]  # by target that spans others: the targets that are its parts


@dataclass(frozen=True)
class Standing:
    """A target in a campaign. Microseconds are of one training step; `seconds` and `trials` are what was spent.

    `best` is the lower end of the best accepted speedup so far, `fruitless` the trials since it last rose.
    """

    target: str
    eager_us: float
    light_us: float
    best: float | None = None
    trials: int = 0
    fruitless: int = 0
    last_saved_us: float = 0.0
    seconds: float = 0.0
    visits: int = 0
    failures: int = 0
    is_exhausted: bool = False

    @property
    def current_us(self) -> float:
        return self.eager_us / max(self.best or 1.0, 1.0)

    @property
    def saved_us(self) -> float:
        return self.eager_us - self.current_us

    @property
    def left_us(self) -> float:
        return max(self.current_us - self.light_us, LEAST_LEFT * self.current_us)

    @property
    def is_open(self) -> bool:
        return not self.is_exhausted and self.failures < FAILURES

    @property
    def rate(self) -> float:
        """Microseconds of a step that a second of search is expected to save; 0 where nothing can be tried."""
        if not self.is_open:
            return 0.0
        if self.trials == 0:
            return FIRST_SHARE * self.left_us / FIRST_S
        size = min(max(self.last_saved_us, LEAST_SHARE * self.left_us), MOST_SHARE * self.left_us)
        return size / (self.fruitless + 2) * self.trials / max(self.seconds, 1e-3)

    def after(self, trial: Trial) -> "Standing":
        """What one trial changes. One answered by the ledger cost nothing and says nothing of the next."""
        low = trial.score if trial.verdict.accepted and trial.score > REJECTED else None
        is_better = low is not None and low > max(self.best or 1.0, 1.0)
        better = replace(self, best=low) if is_better else self
        if trial.is_cached:
            return better
        return replace(
            better,
            trials=self.trials + 1,
            seconds=self.seconds + trial.verdict.seconds,
            fruitless=0 if is_better else self.fruitless + 1,
            last_saved_us=self.current_us - better.current_us if is_better else self.last_saved_us,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def follow(standing: Standing, trials: Sequence[Trial]) -> Standing:
    for trial in trials:
        standing = standing.after(trial)
    return standing


def is_to_be_left(standing: Standing, rival_rate: float) -> bool:
    """Whether the time is better spent on a target whose rate is `rival_rate`."""
    return LEAVING_FACTOR * standing.rate < rival_rate


def in_use(standings: Iterable[Standing], spans: Spans) -> tuple[Standing, ...]:
    """Without what would not be called: a span that saves no more than its parts do, or else those parts."""
    by_name = {standing.target: standing for standing in standings}
    out: set[str] = set()
    for span, parts in spans.items():
        known = [by_name[part] for part in parts if part in by_name]
        if span in by_name and known:
            is_worth_it = by_name[span].saved_us > sum(part.saved_us for part in known)
            out |= {part.target for part in known} if is_worth_it else {span}
    return tuple(standing for name, standing in by_name.items() if name not in out)


def least_of_use(standing: Standing, standings: Mapping[str, Standing], spans: Spans) -> float | None:
    """The speedup at which a span saves as much as the kernels for its parts do now; None for what is no span."""
    parts_us = sum(standings[part].saved_us for part in spans.get(standing.target, ()) if part in standings)
    return standing.eager_us / (standing.eager_us - parts_us) if 0 < parts_us < standing.eager_us else None
