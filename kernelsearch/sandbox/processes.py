"""Another process as the clock sees it: stopped as a whole, one core to a thread, how long it had to wait for one."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

STOP_TIMEOUT_S = 1.0
POLL_S = 20e-6


def freeze(pid: int) -> None:
    """Stops every thread, and returns when they stand.

    The signal is taken by a thread that must first be scheduled: on two busy cores a spinning thread went on for half
    a millisecond after a bare kill().
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def thaw(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


class Spread:
    """Keeps each thread of a process on a core of its own, as long as it has no more threads than cores.

    Two threads of a team that were stopped and resumed often woke on the same core and stayed there for most of a
    window of 20 ms, the other core idle (2 cores, AMD EPYC, 2026-11-23). A thread that starts later inherits its
    maker's one core: the windows where that happens show it as waiting, and `refresh` mends it for the next.
    """

    def __init__(self, pid: int, cores: list[int]) -> None:
        self._pid, self._cores, self._threads = pid, cores, list[int]()

    def refresh(self) -> None:
        """Looks at the threads there are now; to be called while the process stands. Does nothing where it may not."""
        with suppress(OSError):  # another user's process without CAP_SYS_NICE, or one that has just ended
            threads = sorted(int(task.name) for task in Path(f"/proc/{self._pid}/task").iterdir())
            if threads == self._threads:
                return
            own = len(threads) == len(self._cores)
            for thread, core in zip(threads, self._cores if own else threads, strict=True):
                os.sched_setaffinity(thread, [core] if own else self._cores)
            self._threads = threads


def _is_running(pid: int) -> bool:
    """Whether the process has a thread that is neither stopped nor gone."""
    try:
        states = [
            (task / "stat").read_text().rsplit(")", 1)[1].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(state not in "TtZX" for state in states)


def waited_seconds(pid: int) -> float:
    """How long the threads of the process were ready to run and did not, because others had the cores; in all.

    From the scheduler's own account (the second field of schedstat, in nanoseconds); 0 where the kernel keeps none.
    """
    waited = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            waited += int((task / "schedstat").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 1e-9 * waited
