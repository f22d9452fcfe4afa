"""Builds made ahead, on cores that a build or a proof leaves idle: never while anybody is timed.

A candidate whose turn will come, or a second build of this one, is compiled in a thread beside what the judge does.
Leaving the block waits for the build that has begun; what has not begun waits for the next block. A build that fails
says nothing here: it fails again when it is asked for.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from kernelsearch.errors import KernelSearchError

# A build that is in the cache is there at once, and nobody should wait for another one because of it.
PATIENCE_S = 0.05
MOST_WAITING = 4


class Workshop:
    """One worker; the newest wish is built first, and old ones are forgotten."""

    def __init__(self) -> None:
        self._wishes: deque[Callable[[], object]] = deque(maxlen=MOST_WAITING)
        self._is_closing = threading.Event()

    def add(self, build: Callable[[], object]) -> None:
        self._wishes.append(build)

    @contextmanager
    def open(self) -> Iterator[None]:
        self._is_closing.clear()
        worker = threading.Thread(target=self._work, daemon=True)
        worker.start()
        try:
            yield
        finally:
            self._is_closing.set()
            worker.join()

    def _work(self) -> None:
        if self._is_closing.wait(PATIENCE_S):
            return
        while self._wishes and not self._is_closing.is_set():
            with suppress(KernelSearchError):
                self._wishes.pop()()
