"""kill -9 at random moments, again and again: nothing is lost, nothing recorded is judged twice, the chain holds."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelsearch.ledger import Line, read_lines
from tests.search.stub_campaign import TARGETS, judged

ROOT = Path(__file__).resolve().parents[2]
VERDICT_S = 0.02
LIMIT_S = 0.05  # of a trial, beside its judging


def start(folder: Path, kind: str, seconds: float, trials: int) -> subprocess.Popen:
    command = [sys.executable, "-W", "ignore", "-m", "tests.search.stub_campaign", folder, kind, seconds, trials]
    return subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill_at_random(folder: Path, kind: str, trials: int, rng: random.Random) -> None:
    """One run, killed at its start, while it goes over what is recorded, or, three times in four, soon after."""
    process = start(folder, kind, VERDICT_S, trials)
    assert process.stdout is not None
    if rng.random() < 0.75:
        process.stdout.readline()
    time.sleep(rng.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def crash(folder: Path, kind: str, *, kills: int, trials: int) -> list[Line]:
    """The ledger's trials after so many kills and one run to the end."""
    rng = random.Random(kills)
    for _ in range(kills):
        kill_at_random(folder, kind, trials, rng)
    process = start(folder, kind, 0.0, trials)
    process.communicate(timeout=100)
    assert process.returncode == 0
    return [line for line in read_lines(folder / "ledger.jsonl") if line.kind == "trial"]  # raises where a link is bad


def check_trials(folder: Path, trials: list[Line], wanted: int, kills: int) -> None:
    """A verdict that was being made when a kill came was known to nobody; all others are recorded, and once."""
    candidates = [line.body["candidate"] for line in trials]
    assert len(candidates) == len(set(candidates)) == wanted
    assert set(judged(folder)) == set(candidates)
    assert len(judged(folder)) <= wanted + kills


def test_a_study_killed_twice_loses_nothing_and_judges_nothing_twice(tmp_path):
    check_trials(tmp_path, crash(tmp_path, "study", kills=2, trials=30), 30, kills=2)


def test_a_campaign_killed_twice_goes_on_as_the_same_campaign(tmp_path):
    check_trials(tmp_path, crash(tmp_path, "campaign", kills=2, trials=0), 20 * len(TARGETS), kills=2)
    events = [line.body["event"] for line in read_lines(tmp_path / "ledger.jsonl") if line.kind == "campaign"]
    assert (events.count("start"), events[-1]) == (1, "end")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_study_of_200_trials_killed_20_times_is_the_study_that_was_never_killed(tmp_path):
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    trials = crash(tmp_path / "killed", "study", kills=20, trials=200)
    check_trials(tmp_path / "killed", trials, 200, kills=20)
    whole = crash(tmp_path / "whole", "study", kills=0, trials=200)
    assert [line.body["candidate"] for line in trials] == [line.body["candidate"] for line in whole]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_campaign_killed_20_times_tries_everything_once(tmp_path):
    check_trials(tmp_path, crash(tmp_path, "campaign", kills=20, trials=0), 20 * len(TARGETS), kills=20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["study", "model"])
def test_a_trial_costs_little_beside_its_judging(tmp_path, kind):
    crash(tmp_path, kind, kills=0, trials=200)
    (end,) = [line for line in read_lines(tmp_path / "ledger.jsonl") if line.kind == "study-end"]
    assert end.body["seconds"] / 200 < LIMIT_S
