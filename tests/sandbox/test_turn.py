"""One judgement at a time, across processes."""

import multiprocessing
import time
from pathlib import Path

import pytest

from kernelsearch.sandbox.turn import own_turn


def measure(lock: Path, log: Path) -> None:
    for _ in range(5):
        with own_turn(lock), log.open("a") as file:
            file.write("begin ")
            file.flush()
            time.sleep(0.01)
            file.write("end ")


def test_turns_of_two_processes_do_not_overlap(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    both = [spawn.Process(target=measure, args=(tmp_path / "turn.lock", tmp_path / "log")) for _ in range(2)]
    [process.start() for process in both]
    [process.join() for process in both]
    assert (tmp_path / "log").read_text().split() == ["begin", "end"] * 10


class Waits(Exception):
    pass


def give_up() -> None:
    raise Waits


def test_who_has_to_wait_is_told_before(tmp_path):
    lock = tmp_path / "turn.lock"
    with own_turn(lock), pytest.raises(Waits), own_turn(lock, give_up):
        pass
    with own_turn(lock, give_up):
        pass
