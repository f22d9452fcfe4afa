"""The page as it stands now: one reader of the ledger for all viewers, sections rendered again when lines come."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelsearch.errors import KernelSearchError
from kernelsearch.ledger import Line
from kernelsearch.ledger.follow import Follower
from kernelsearch.report.html import Section


@dataclass(frozen=True)
class State:
    """All sections at one moment. `version` rises with every change; `trouble` is why the ledger cannot be shown."""

    version: int
    sections: tuple[Section, ...]
    trouble: str | None = None


class Watch:
    """Follows a ledger; `render` makes the sections from its lines. `look` is called from one thread at a time."""

    def __init__(self, follower: Follower, render: Callable[[Sequence[Line]], Sequence[Section]]) -> None:
        self._follower = follower
        self._render = render
        self._lock = threading.Lock()
        self._state: State | None = None

    def look(self) -> State:
        """The state after reading what is new. A damaged ledger keeps the last good page, with the reason."""
        with self._lock:
            old = self._state
            try:
                has_changed = self._follower.advance()
                if old is not None and old.trouble is None and not has_changed:
                    return old
                sections, trouble = tuple(self._render(self._follower.lines)), None
            except KernelSearchError as error:
                sections, trouble = old.sections if old is not None else (), str(error)
            if old is None or (old.sections, old.trouble) != (sections, trouble):
                self._state = old = State(old.version + 1 if old is not None else 1, sections, trouble)
            return old


def changes(old: State | None, new: State) -> list[Section]:
    """The sections of `new` that a viewer who has `old` must be sent; all of them where the outline changed."""
    if old is None or [section.key for section in old.sections] != [section.key for section in new.sections]:
        return list(new.sections)
    return [after for before, after in zip(old.sections, new.sections, strict=True) if before != after]
