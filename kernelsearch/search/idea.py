"""How a proposer comes by ideas; who keeps the queue of them is not search's business."""

from collections.abc import Sequence
from typing import Protocol

from kernelsearch.search.proposer import Trial
from kernelsearch.spec import Idea


class Ideas(Protocol):
    """Gives at most one idea for a proposal. The same history must give the same idea, or a study cannot repeat."""

    def __call__(self, history: Sequence[Trial]) -> Idea | None: ...


def no_ideas(history: Sequence[Trial]) -> Idea | None:
    """The model's own are all there are."""
    return None
