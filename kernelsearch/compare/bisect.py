"""Which commit made a kernel slower: a binary search in which every question is a paired comparison with the good one.

Times of two runs are never compared: each commit's kernel meets the good commit's kernel anew. A commit at which this
stays open (too noisy, or no such kernel) ends the search with the commits that are left, rather than with a guess.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Answer(StrEnum):
    SLOWER = "slower"
    FINE = "not slower"
    OPEN = "cannot tell"


@dataclass(frozen=True)
class Step:
    """One question: a commit against the good one. `detail` is the gate's sentence."""

    commit: str
    subject: str
    answer: Answer
    detail: str

    def as_json(self) -> dict[str, Any]:
        return {"commit": self.commit, "subject": self.subject, "answer": str(self.answer), "detail": self.detail}


@dataclass(frozen=True)
class Found:
    """`suspects` is one commit where the search came to its end, several where it was left open, none if not slower."""

    suspects: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]

    @property
    def is_exact(self) -> bool:
        return len(self.suspects) == 1


def bisect(commits: Sequence[tuple[str, str]], ask: Callable[[str], tuple[Answer, str]]) -> Found:
    """Search `commits`, (commit, subject) oldest first, the last being the bad one; `ask` compares with the good one.

    The last is asked first: where it is not slower, there is nothing to find.
    """
    steps: list[Step] = []

    def question(index: int) -> Answer:
        answer, detail = ask(commits[index][0])
        steps.append(Step(*commits[index], answer, detail))
        return answer

    if not commits or question(len(commits) - 1) is not Answer.SLOWER:
        return Found((), tuple(steps))
    low, high = 0, len(commits) - 1  # the culprit is in commits[low..high]; commits[high] is slower
    while low < high:
        middle = (low + high) // 2
        answer = question(middle)
        if answer is Answer.OPEN:
            break
        low, high = (low, middle) if answer is Answer.SLOWER else (middle + 1, high)
    return Found(tuple(commits[low : high + 1]), tuple(steps))
