"""Stopping a whole process so that nothing of it runs while somebody else is timed."""

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
