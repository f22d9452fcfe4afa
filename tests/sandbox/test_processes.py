"""A process's threads, each on a core of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernelsearch.sandbox.processes import Spread

# Starts a thread for each line it reads, and says so.
GROWING = """
import sys, threading
for _ in sys.stdin:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print(flush=True)
"""
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", GROWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield child
        child.kill()


def places(pid):
    threads = sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    return [os.sched_getaffinity(thread) for thread in threads]


def start_thread(process):
    process.stdin.write(b"\n")
    process.stdin.flush()
    process.stdout.readline()


@pytest.mark.skipif(len(CORES) < 2, reason="one core")
def test_as_many_threads_as_cores_get_one_each_and_more_may_use_all(process):
    spread = Spread(process.pid, CORES[:2])
    spread.refresh()
    start_thread(process)
    spread.refresh()
    assert places(process.pid) == [{CORES[0]}, {CORES[1]}]
    start_thread(process)
    spread.refresh()
    assert places(process.pid) == 3 * [set(CORES[:2])]


def test_a_process_that_has_ended_is_no_error(process):
    process.kill()
    process.wait()
    Spread(process.pid, CORES[:1]).refresh()
