"""A search that is killed or interrupted: nothing runs on, nothing is half written, nothing is judged twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROW_SUM = Path(__file__).parent.parent / "sandbox" / "row_sum"


def start(home: Path, trials: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kernelsearch", "optimize", str(ROW_SUM), "--trials", str(trials), "--json"]
    environment = {**os.environ, "KERNELSEARCH_HOME": str(home)}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Interrupts are ignored where the tests themselves run in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def trials(home: Path) -> list[tuple[str, str]]:
    """(candidate, context) of every judged trial in the ledger, the last line possibly torn."""
    file = home / "ledger.jsonl"
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(r["body"]["candidate"], r["body"]["context"]) for r in records if r["kind"] == "trial"]


def wait_for_trials(home: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(trials(home)) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def runners(home: Path) -> list[str]:
    """Processes that run this home's runner."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            found += [process.name] if str(home / "cache" / "runner") in (process / "cmdline").read_text() else []
        except OSError:
            continue
    return found


def has_no_runner(home: Path) -> bool:
    deadline = time.monotonic() + 3
    while runners(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not runners(home)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=["killed", "interrupted"]
)
def test_a_stopped_search_goes_on_where_it_was(tmp_path, number):
    search = start(tmp_path, 4)
    wait_for_trials(tmp_path, 1)
    time.sleep(0.3)
    search.send_signal(number)
    _, errors = search.communicate(timeout=30)
    assert search.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[number], errors
    assert "Traceback" not in errors
    assert has_no_runner(tmp_path)

    answer, errors = start(tmp_path, 4).communicate(timeout=90)
    assert json.loads(answer)["trials"] == 4, errors
    judged = trials(tmp_path)
    assert len(set(judged)) == len(judged)
