"""One judgement at a time: whoever measures has the machine to himself, across all processes of one state folder.

The lock is the kernel's and goes with its process, however that ends: nothing is left to clean up.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kernelsearch.errors import Infrastructure


@contextmanager
def own_turn(lock: Path | None, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds `lock` for the block; waits for it after telling `on_wait`. None: no turns are taken."""
    if lock is None:
        yield
        return
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Infrastructure(f"lock={str(lock)!r} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
