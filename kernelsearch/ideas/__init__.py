"""The single queue of ideas: filed by people, models and scripts, claimed by workers, closed with what was measured."""

from kernelsearch.ideas.entry import OUTCOMES, Claim, Entry, Measured, Outcome
from kernelsearch.ideas.queue import Queue, by_filing, resembling
from kernelsearch.ideas.similar import likeness

__all__ = [
    "OUTCOMES",
    "Claim",
    "Entry",
    "Measured",
    "Outcome",
    "Queue",
    "by_filing",
    "likeness",
    "resembling",
]
