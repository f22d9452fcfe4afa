"""A race: the same training run twice in lockstep, baseline kernels against promoted ones, to the same loss target.

Chunks of steps alternate between the two processes in random order, so that both see the same machine; the one that
waits is idle. Each side stops at its first evaluation at or below the target. Seconds are those of its own training
steps: neither evaluation nor the other side's turns count.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from kernelsearch.dispatch.contender import Contender, Trainer
from kernelsearch.dispatch.result import RaceResult, Track, judge_race
from kernelsearch.errors import Infrastructure

SIDES = ("baseline", "promoted")


@dataclass(frozen=True)
class Plan:
    """The course. `until_bpb` None runs both sides for `max_steps`; `band` holds max_loss_gap and bpb_gap."""

    config: str
    until_bpb: float | None
    chunk_steps: int
    evaluate_every: int
    max_steps: int
    band: Mapping[str, float] | None = None
    seed: int = 0
    timeout_s: float = 900.0

    def next_chunk(self, steps: int) -> int:
        """Steps to do after `steps`: a chunk, cut at the next evaluation and at the end."""
        return min(self.chunk_steps, self.evaluate_every - steps % self.evaluate_every, self.max_steps - steps)

    def is_evaluated(self, steps: int) -> bool:
        return steps % self.evaluate_every == 0 or steps == self.max_steps

    def is_reached(self, bpb: float | None) -> bool:
        return self.until_bpb is not None and bpb is not None and bpb <= self.until_bpb


@dataclass(frozen=True)
class Progress:
    """Where one side stands after a chunk."""

    side: str
    steps: int
    seconds: float
    loss: float
    bpb: float | None


@dataclass
class Runner:
    """One side on its way."""

    trainer: Trainer
    track: Track = field(default_factory=Track)
    is_done: bool = False

    def advance(self, plan: Plan) -> Progress:
        count = plan.next_chunk(self.track.steps)
        losses, seconds, tokens = self.trainer.step(count)
        self.track.add_chunk(losses, seconds, tokens)
        steps = self.track.steps
        if plan.is_evaluated(steps):
            self.track.add_evaluation(self.trainer.evaluate())
        self.is_done = steps >= plan.max_steps or plan.is_reached(self.track.val_bpb)
        return Progress(self.trainer.name, steps, self.track.seconds, losses[-1], self.track.val_bpb)


def run_race(
    baseline: Contender,
    promoted: Contender,
    plan: Plan,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> RaceResult:
    """Run both contenders over the course and compare them.

    A worker that crashes, hangs or answers nonsense raises Infrastructure naming its side; no process is left behind.
    Ctrl-C ends both and returns what there is, marked void.
    """
    runners: dict[str, Runner] = {}
    reports: dict[str, dict[str, object]] = {}
    reason = None
    try:
        with ExitStack() as stack:
            for name, contender in zip(SIDES, (baseline, promoted), strict=True):
                runners[name] = Runner(stack.enter_context(Trainer(name, contender, plan.timeout_s)))
            _start(list(runners.values()))
            for progress in _chunks(plan, list(runners.values())):
                on_progress(progress)
            reports = {name: runner.trainer.report() for name, runner in runners.items()}
            for runner in runners.values():
                runner.track.peak_bytes = runner.trainer.peak_bytes()
    except KeyboardInterrupt:
        reason = "interrupted"
    tracks = {name: runners[name].track if name in runners else Track() for name in SIDES}
    return judge_race(plan.config, plan.until_bpb, plan.band, plan.seed, tracks, reports, reason)


def _start(runners: list[Runner]) -> None:
    """Initialise every side; sides that say which corpus they train on must agree."""
    corpora = {runner.trainer.name: runner.trainer.init().get("corpus") for runner in runners}
    if len(set(corpora.values())) > 1:
        raise Infrastructure(f"race: the sides train on different data: {corpora}")


def _chunks(plan: Plan, runners: list[Runner]) -> Iterator[Progress]:
    """Advance every side that is still running by one chunk, in a new random order each time."""
    order = random.Random(plan.seed)
    while active := [runner for runner in runners if not runner.is_done]:
        order.shuffle(active)
        for runner in active:
            yield runner.advance(plan)
