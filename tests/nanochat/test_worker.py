import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanochat.ops import rms_norm

from .conftest import TOY_OVERRIDES

FACTORY = "tests.nanochat.test_worker:noisy_ops"
Ask = Callable[..., dict[str, Any]]


def quiet_ops(argument: dict[str, int]) -> tuple[dict[str, Any], Callable[[], dict[str, int]]]:
    """An identity patch that counts from what its argument says."""
    calls = dict(argument)

    def counted(x):
        calls["rms_norm"] += 1
        return rms_norm(x)

    return {"rms_norm": counted}, lambda: calls


def noisy_ops(argument: dict[str, int]) -> tuple[dict[str, Any], Callable[[], dict[str, int]]]:
    """The same, and prints where a contestant must not."""
    ops, report = quiet_ops(argument)

    def printing(x):
        print("this must not reach the answers")
        return ops["rms_norm"](x)

    return {"rms_norm": printing}, report


@pytest.fixture
def init(cache_dir: Path, data_dir: Path) -> dict[str, Any]:
    places = {"cache_dir": str(cache_dir), "data_dir": str(data_dir)}
    return {"config": "tiny", "seed": 1, "ops": "eager", "overrides": TOY_OVERRIDES, "threads": 1, **places}


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Starts a worker; the fixture's value sends one command and returns the answer."""
    command = [sys.executable, "-m", "nanochat.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def send(cmd: str, **fields: Any) -> dict[str, Any]:
            process.stdin.write(json.dumps({"cmd": cmd, **fields}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield send
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_a_worker_trains_evaluates_and_ends(ask: Ask, init: dict[str, Any]):
    started = ask("init", **init)
    assert started["ok"] and started["tokens_per_step"] == 256 and started["flops_per_token"] > 0
    stepped = ask("step", count=3)
    assert len(stepped["losses"]) == len(stepped["seconds"]) == 3 and stepped["tokens"] == 768
    assert ask("evaluate")["bpb"] > 0
    reported = ask("report")
    assert reported.pop("peak_bytes") > 100 << 20 and reported == {"ok": True, "report": None}
    assert ask("exit") == {"ok": True}


def test_peak_memory_is_the_process_s_own_and_not_that_of_the_one_that_started_it():
    """The trap is ru_maxrss: it would be the gigabyte here."""
    child = "import nanochat.worker as w; print(w.peak_resident_bytes())"
    start = f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    parent = f"import subprocess, sys; x = b'1' * (1 << 30); {start}"
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 50 << 20 < int(done.stdout) < 1 << 30


def test_an_identity_factory_gives_bitwise_the_same_losses(ask: Ask, init: dict[str, Any]):
    ask("init", **init)
    eager = ask("step", count=3)["losses"]
    ask("init", **{**init, "ops": {"factory": FACTORY, "argument": {"rms_norm": 1000}}})
    assert ask("step", count=3)["losses"] == eager
    assert ask("report")["report"]["rms_norm"] > 1000


def test_a_failed_command_is_answered_and_the_worker_lives_on(ask: Ask, init: dict[str, Any]):
    assert ask("step", count=1) == {"ok": False, "error": "ValueError: cmd: send init first"}
    assert ask("jump")["ok"] is False
    assert ask("init", **{**init, "config": "huge"})["ok"] is False
    assert ask("init", **init)["ok"]
