"""A coding agent in its folder: what it gets, what it cannot reach, how it ends."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from kernelsearch.errors import EnvironmentMissing, UsageError
from kernelsearch.search.llm import AgentClient, CallFailed, Confinement, Prompt
from tests.search.llm.answers import VECTORS
from tests.search.llm.conftest import make_calls, make_proposer, study

STAND_IN = Path(__file__).parent / "agent_stand_in.py"
PROMPT = Prompt("# Task", "# Question", files={"abi.txt": "void f();"})


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def make_agent(cache_dir: Path, words: str, *readable: Path, **environment: str) -> AgentClient:
    paths = (STAND_IN, Path(sys.prefix), Path(sys.base_prefix), *readable)
    return AgentClient(f"{sys.executable} {words}", "candidate.cpp", Confinement(cache_dir, paths, environment))


@pytest.fixture(scope="module")
def told(cache_dir, tmp_path_factory):
    """What the stand-in found in its folder, and the answer."""
    folder = tmp_path_factory.mktemp("user")
    kernel, outside = folder / "kernel.cpp", folder / "outside.txt"
    kernel.write_text(VECTORS)
    outside.write_text("private")
    client = make_agent(cache_dir, f"{STAND_IN} {kernel} {outside} {{prompt}}", kernel, MINE="mine")
    answer = client.send(PROMPT, 60.0)
    found = json.loads(answer.text.splitlines()[0].removeprefix("// "))
    return found, answer, outside.read_text()


def test_an_agent_finds_its_brief_and_files_and_its_file_is_the_answer(told):
    found, answer, _ = told
    assert found["brief"] and found["files"] == ["abi.txt", "brief.md", "tmp"]
    assert found["sentence"].startswith("Read brief.md")
    assert answer.text.endswith(VECTORS)


def test_an_agent_reaches_no_file_of_the_user(told):
    found, _, outside = told
    outcomes = {found[name] for name in ("read outside", "write outside", "list home", "file socket")}
    assert (outcomes, outside) == ({"PermissionError"}, "private")


def test_an_agent_has_the_network_because_it_talks_to_its_model(told):
    assert told[0]["network socket"] == "done"


def test_an_agent_has_only_the_variables_that_were_named(told):
    assert set(told[0]["variables"]) - {"LC_CTYPE"} <= {
        "PATH", "LANG", "LC_ALL", "TERM", "TZ", "HOME", "TMPDIR", "MINE",
    }  # fmt: skip
    assert "MINE" in told[0]["variables"]


def test_nothing_that_an_agent_started_outlives_it(told):
    assert not Path(f"/proc/{told[0]['left']}").exists()


def test_what_an_agent_tells_of_its_cost_is_taken(told):
    assert (told[1].cost, told[1].usage.completion) == (0.25, 5)


def test_an_agent_that_does_not_end_is_ended_with_all_it_started(cache_dir, tmp_path):
    script = tmp_path / "endless.py"
    script.write_text("import subprocess, time; subprocess.Popen(['sleep', '299.75']); time.sleep(300)")
    started = time.monotonic()
    with pytest.raises(CallFailed, match=r"wrote no candidate.cpp within 1 s"):
        make_agent(cache_dir, str(script), script).send(PROMPT, 1.0)
    assert time.monotonic() - started < 10
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"299.75" in read(p)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_an_agent_that_cannot_be_read_says_which_option_helps(cache_dir, tmp_path):
    program, hidden = tmp_path / "agent", tmp_path / "interpreter"
    shutil.copy("/bin/sh", hidden)
    program.write_text(f"#!{hidden}\n")
    program.chmod(0o755)
    client = AgentClient(str(program), "candidate.cpp", Confinement(cache_dir))
    with pytest.raises(CallFailed, match="--agent-read PATH"):
        client.send(PROMPT, 10.0)


def test_a_program_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no such program"):
        AgentClient("no-such-agent {prompt}", "candidate.cpp", Confinement(Path())).arguments()


def test_a_link_is_not_read_as_the_answer(cache_dir, tmp_path):
    script = tmp_path / "link.py"
    script.write_text("import os; os.symlink('/etc/passwd', 'candidate.cpp')")
    assert make_agent(cache_dir, str(script), script).send(PROMPT, 30.0).text == ""


def test_an_agent_drives_a_study_end_to_end(cache_dir, tmp_path):
    kernel = tmp_path / "kernel.cpp"
    kernel.write_text(VECTORS)
    script = tmp_path / "copy.py"
    script.write_text(f"import shutil; shutil.copyfile({str(kernel)!r}, 'candidate.cpp')")
    calls = make_calls(tmp_path / "state", prices={})
    agent = make_agent(cache_dir, str(script), script, kernel)
    proposer = make_proposer([agent], calls, name="command", is_folder=True, patience=2)
    result = study(proposer, calls)
    assert [trial.verdict.accepted for trial in result.trials] == [False, True]
    assert "2 answers in a row held no proposal" in proposer.ending
    assert "same as a kernel that was judged before" in proposer.ending


def test_an_agent_that_never_starts_is_an_error_not_an_empty_study(cache_dir, tmp_path):
    program = tmp_path / "agent"
    program.write_text("#!/nowhere/interpreter\n")
    program.chmod(0o755)
    calls = make_calls(tmp_path / "state", prices={})
    client = AgentClient(str(program), "candidate.cpp", Confinement(cache_dir))
    with pytest.raises(EnvironmentMissing, match="cannot be asked"):
        study(make_proposer([client], calls, name="command", is_folder=True), calls)
