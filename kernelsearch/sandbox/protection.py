"""What stands between a candidate and the machine: which protections hold, which are essential, and the judge's own."""

import ctypes
import os
from functools import cache
from pathlib import Path

from kernelsearch.errors import EnvironmentMissing

# The bits of confine.h.
PROTECTIONS = {
    1: "own user id",
    2: "no files (Landlock)",
    4: "system-call allow-list (seccomp)",
    8: "resource limits",
    16: "own processes (pid namespace)",
    32: "own network (net, ipc, uts namespaces)",
    64: "empty root folder (mount namespace)",
    128: "no processor clock",
}
ESSENTIAL = 2 | 4 | 8  # what keeps a candidate from files, other processes and the network, each on its own
NEEDED = "needed is Linux 5.13 or newer with Landlock and seccomp, which a container must not forbid"
PR_SET_DUMPABLE = 4


def protection_names(bits: int) -> dict[str, bool]:
    return {name: bool(bits & bit) for bit, name in PROTECTIONS.items()}


class Unprotected(EnvironmentMissing):
    """An essential protection is missing; `held` are the bits of those that hold."""

    def __init__(self, held: int) -> None:
        missing = [name for bit, name in PROTECTIONS.items() if bit & ESSENTIAL & ~held]
        super().__init__(f"untrusted candidates are refused here: {', '.join(missing)} absent; {NEEDED}")
        self.held = held


@cache
def harden_judge() -> None:
    """Makes this process's memory and descriptors unreadable to other processes of the same user."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def cores(count: int) -> set[int]:
    """`count` of the cores this process may use, one of each physical core first."""
    own = sorted(os.sched_getaffinity(0))
    seen: dict[str, int] = {}
    ranks = {}
    for core in own:
        siblings = _siblings(core)
        ranks[core] = seen[siblings] = seen.get(siblings, 0) + 1
    return set(sorted(own, key=lambda core: (ranks[core], core))[:count])


@cache
def _siblings(core: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(core)
