"""Another process as the clock sees it: stopped as a whole, and how long it had to wait for a core."""

import os
import signal
import time
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
