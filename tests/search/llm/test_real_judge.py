"""The thirty answers before the real judge: slow, because every one is compiled, proved and timed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernelsearch.ledger import Ledger, Objects
from tests.search.llm.answers import SCRIPT
from tests.search.llm.conftest import KEY, PLAIN, ROW_SUM, expected_outcomes
from tests.search.llm.server import listed, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TUNING = '{"idea": "unroll", "UNROLL": 4}'


def optimize(home: Path, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kernelsearch", "optimize", str(ROW_SUM), "--proposer", "llm", "--json"]
    command += ["--model", "openai/mixed", "--base-url", url, "--max-calls", str(len(SCRIPT) + 1), "--budget", "10m"]
    environment = {"PATH": "/usr/bin:/bin", "KERNELSEARCH_HOME": str(home), "OPENAI_API_KEY": KEY}
    return subprocess.run([*command, *more], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The first run's document, the replay's, how often each asked the provider, and the state folder."""
    pytest.importorskip("openai")
    home, script = tmp_path_factory.mktemp("home"), listed([text for text, _ in SCRIPT])
    asked = []
    with serve(lambda request: TUNING if "response_format" in request else script(request)) as provider:
        runs = []
        for more in ((), ("--replay",)):
            done = optimize(home, provider.url, *more)
            assert done.returncode in (0, 1), done.stderr  # 1: nothing accepted
            runs.append(json.loads(done.stdout))
            asked.append(len(provider.requests))
    return runs, asked, home


def test_the_real_judge_ends_each_as_foreseen_and_accepts_no_other_than_the_good_ones(judged):
    """Right and faster is one thing, seen to be faster another: on a busy machine the clock may accept neither."""
    found, accepted = {}, set()
    for line in Ledger(judged[2] / "ledger.jsonl").find("trial"):
        source = Objects(judged[2] / "objects").get(line.body["source"])
        found[source] = line.body["verdict"]["status"].replace("SLOWER", "PASSED")
        accepted |= {source} if line.body["verdict"]["accepted"] else set()
    expected = {source: outcome.replace("accepted", "PASSED") for source, outcome in expected_outcomes().items()}
    assert found == {**expected, PLAIN.source: "PASSED"}
    assert accepted <= {source for source, outcome in expected_outcomes().items() if outcome == "accepted"}


def test_the_replay_asks_nobody_and_finds_the_same_trials(judged):
    (first, again), asked, _ = judged
    assert asked[0] == asked[1] == len(SCRIPT) + 1
    assert (again["statuses"], again["proposers"][0]["best"]) == (first["statuses"], first["proposers"][0]["best"])
    assert again["spending"]["recorded"] == len(SCRIPT) + 1


def test_the_key_is_nowhere_in_the_state(judged):
    files = [path for path in judged[2].rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
