"""A study while it runs: a live table on a terminal, one line a trial anywhere else.

Goes to standard error: standard output belongs to the answer.
"""

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kernelsearch.report.text import foreign, format_interval, format_ratio, name_candidate, name_outcome, style_of
from kernelsearch.search import Budget, CallEnded, CallStarted, Event, StudyStarted, Trial, TrialJudged, TrialStarted

SHOWN_TRIALS = 12


class StudyProgress:
    """Shows a study's events: `with StudyProgress(console) as progress: run_study(..., on_event=progress)`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._recent: deque[TrialJudged] = deque(maxlen=SHOWN_TRIALS)
        self._running: TrialStarted | None = None
        self._best: Trial | None = None
        self._call = ""
        self._cost = 0.0
        self._budget = Budget()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = None
        if self._console.is_terminal:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StudyStarted):
            self._budget = event.budget
        elif isinstance(event, TrialStarted):
            self._running = event
        elif isinstance(event, CallStarted | CallEnded):
            self._note_call(event)
        elif isinstance(event, TrialJudged):
            self._running, self._best = None, event.best
            self._recent.append(event)
            if not self._console.is_terminal:
                self._console.print(Text(" ".join(self._line(event))), soft_wrap=True)

    def _note_call(self, event: CallStarted | CallEnded) -> None:
        self._call = describe_call(event)
        if isinstance(event, CallEnded):
            self._cost += event.cost or 0.0
        if not self._console.is_terminal:
            self._console.print(Text(" ".join(foreign(self._call).plain.split())), soft_wrap=True)

    def _line(self, event: TrialJudged) -> list[str]:
        verdict = event.trial.verdict
        words = [f"trial {event.number}", event.trial.proposer, name_candidate(event.trial.candidate)]
        words += [name_outcome(verdict), format_interval(verdict.speedup, verdict.low, verdict.high)]
        words += ["(recorded)"] if event.trial.is_cached else []
        words += [f"({verdict.detail})"] if verdict.passed and not verdict.accepted else []
        return [" ".join(foreign(word).plain.split()) for word in [*words, self._standing(event.number, event.seconds)]]

    def _standing(self, trials: int, seconds: float) -> str:
        best = format_ratio(self._best.verdict.low if self._best else None)
        seconds_of = f"/{self._budget.seconds:.0f}" if self._budget.seconds is not None else ""
        trials_of = f"/{self._budget.trials}" if self._budget.trials is not None else ""
        return f"best so far {best}, trial {trials}{trials_of}, {seconds:.0f}{seconds_of} s"

    def _render(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        table.add_column("trial", justify="right")
        table.add_column("proposer")
        table.add_column("candidate", overflow="ellipsis", no_wrap=True)
        table.add_column("outcome", no_wrap=True)
        table.add_column("speedup", justify="right", no_wrap=True)
        for event in self._recent:
            verdict = event.trial.verdict
            table.add_row(
                Text(str(event.number)),
                foreign(event.trial.proposer),
                foreign(name_candidate(event.trial.candidate)),
                foreign(
                    name_outcome(verdict) + (" (recorded)" if event.trial.is_cached else ""), style_of(verdict.status)
                ),
                Text(format_interval(verdict.speedup, verdict.low, verdict.high)),
            )
        if self._running is not None:
            running = self._running
            candidate = foreign(name_candidate(running.candidate))
            table.add_row(Text(str(running.number)), foreign(running.proposer), candidate, Text("judging"), Text(""))
        call = [foreign(self._call + (f", {self._cost:.4f} USD in all" if self._cost else ""))] if self._call else []
        last = self._recent[-1] if self._recent else None
        standing = self._standing(last.number, last.seconds) if last else "first trial"
        return Group(table, *call, Text(standing, style="bold"))


def describe_call(event: CallStarted | CallEnded) -> str:
    """What a model or an agent is asked, or what its answer cost."""
    head = f"call {event.number} {event.provider}/{event.model}"
    if isinstance(event, CallStarted):
        return f"{head}: asked with {event.prompt_bytes:,} bytes"
    if event.error is not None:
        return f"{head}: failed after {event.seconds:.0f} s: {event.error}"
    tokens = event.tokens
    counts = "tokens not told"
    if tokens is not None:
        counts = f"{tokens['prompt']:,} tokens in ({tokens['cached']:,} cached), {tokens['completion']:,} out"
    cost = "price not known" if event.cost is None else f"{event.cost:.4f} USD"
    return f"{head}: answered in {event.seconds:.1f} s, {counts}, {cost}"
