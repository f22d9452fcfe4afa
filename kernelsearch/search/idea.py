"""A sentence that a proposer may turn into a candidate; who keeps the queue of them is not search's business."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kernelsearch.search.proposer import Trial


@dataclass(frozen=True)
class Idea:
    """`predicted_effect` is what its author expects of it, `source` who or what the author is."""

    text: str
    predicted_effect: str
    source: str


class Ideas(Protocol):
    """Gives at most one idea for a proposal. The same history must give the same idea, or a study cannot repeat."""

    def __call__(self, history: Sequence[Trial]) -> Idea | None: ...


def no_ideas(history: Sequence[Trial]) -> Idea | None:
    """The model's own are all there are."""
    return None
