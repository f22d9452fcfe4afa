"""A session's runner: what a hostile candidate tries ends in a verdict, and the machine stays as it was."""

import concurrent.futures
import json
import mmap
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kernelsearch.sandbox import session as session_module
from kernelsearch.sandbox.protection import PROTECTIONS, Unprotected, cores
from kernelsearch.sandbox.session import GO, Session
from kernelsearch.verify.run import CandidateFailure
from tests.sandbox.attempts import BYTES, KILLED, TEXT, attempt, build_artifact, load, outcomes, start
from tests.sandbox.fake_runner import FAKE_RUNNER

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="system calls by x86-64 numbers")
ORDINARY_USER = 64321
NAMESPACES = ("pid", "net", "ipc", "uts", "mnt")
ALL = sum(PROTECTIONS)


@pytest.fixture(scope="module")
def artifact(cache_dir) -> bytes:
    return build_artifact(cache_dir)


@pytest.fixture
def session(cache_dir, artifact):
    with start(cache_dir, artifact) as session:
        yield session


def as_ordinary_user() -> dict[str, str]:
    """Outcomes in a process that was root and is not any more; its state lies in a folder of its own."""
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, ORDINARY_USER, ORDINARY_USER)
    command = [sys.executable, "-m", "tests.sandbox.attempts", str(folder), str(ORDINARY_USER)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["as started", "as an ordinary user"])
def found(request, cache_dir) -> dict[str, str]:
    if request.param == "as started":
        return outcomes(cache_dir)
    if os.geteuid() != 0:
        pytest.skip("already an ordinary user")
    return as_ordinary_user()


@pytest.mark.parametrize("name", KILLED)
def test_a_system_call_that_no_kernel_needs_is_an_integrity_verdict(found, name):
    assert found[name].startswith("INTEGRITY"), found[name]


def test_no_file_opens_and_no_link_is_read_while_the_candidate_is_loaded(found):
    assert (found["opened"], found["openat"]) == ("0", "-13")
    assert found["linked"] == "0"


def test_the_candidate_is_the_second_process_of_its_namespace(found):
    assert (int(found["protections"]) & 16, found["getpid"]) in ((16, "2"), (0, found["getpid"]))


def test_essential_protections_hold(found):
    assert int(found["protections"]) & 14 == 14


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("recursion", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("fault", "SIGSEGV"),
        ("memory", "SIGABRT"),
        ("clock", "SIGSEGV"),
        ("threads", "exit status 1"),
    ],
)
def test_the_supervisor_passes_on_how_the_candidate_ended(found, name, ending):
    assert found[name].startswith(f"CRASH: the process ended with {ending}"), found[name]


def test_a_flood_of_messages_neither_blocks_nor_fills_anything(found):
    assert found["stderr flood"] == "-11"  # EAGAIN: nobody reads it


def test_a_kernel_without_all_essential_protections_is_never_loaded():
    command = [sys.executable, "-c", FAKE_RUNNER, str(ALL & ~4)]
    with pytest.raises(Unprotected, match="refused here: system-call allow-list"):
        Session(command, b"", ["x"], region_bytes=4096, threads=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_every_protection_holds_for_root(session):
    assert session.protections == ALL


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_namespaces_and_user_are_the_runners_own(session, cache_dir, artifact):
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
    theirs = {name: os.readlink(f"/proc/{session.pid}/ns/{name}") for name in NAMESPACES}
    assert not set(ours.values()) & set(theirs.values())
    with start(cache_dir, artifact) as other:
        assert len({status(session.pid)["Uid"], status(other.pid)["Uid"], status(os.getpid())["Uid"]}) == 3


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_runner_has_no_capabilities_and_a_filter(session):
    found = status(session.pid)
    assert {found[f"Cap{kind}"] for kind in ("Eff", "Prm", "Inh", "Amb")} == {"0" * 16}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")


def test_the_runner_may_use_as_many_cores_as_it_has_threads(session):
    assert os.sched_getaffinity(session.pid) == cores(1)


def test_the_shared_memory_can_neither_shrink_nor_have_its_inputs_written(session):
    inputs, outputs = session.share()
    with pytest.raises(PermissionError):
        os.ftruncate(outputs, 0)
    with pytest.raises(PermissionError):
        mmap.mmap(inputs, BYTES)


def test_an_answer_that_was_not_asked_for_is_an_integrity_verdict(session):
    forged = struct.pack("<II", GO, 1)
    answers = (attempt(session, 1, (fd, -TEXT, 8), text=forged) for fd in range(3, 64))
    assert any(answer.startswith("INTEGRITY: answered") for answer in answers)


def test_processor_time_beyond_the_limit_is_a_timeout(cache_dir, artifact, monkeypatch):
    monkeypatch.setattr(session_module, "CPU_SECONDS", 1)
    with start(cache_dir, artifact) as session:
        assert attempt(session, -1, (6,)).startswith("TIMEOUT: used more than 1 s of processor time")


def test_a_frozen_runner_uses_no_processor_time_and_a_thawed_one_goes_on(session):
    load(session, -1, (6,))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(session.go, 1.5)
        time.sleep(0.3)
        session.freeze()
        before = session.cpu_seconds()
        time.sleep(0.2)
        assert session.cpu_seconds() == before
        session.thaw()
        time.sleep(0.2)
        assert session.cpu_seconds() > before
        assert isinstance(spinning.exception(), CandidateFailure)


def test_processor_time_of_a_dead_runner_is_its_verdict(session):
    os.kill(session.pid, 9)
    time.sleep(0.2)
    with pytest.raises(CandidateFailure, match="SIGKILL"):
        session.cpu_seconds()


def test_the_supervisors_end_is_the_runners_end(session):
    runner, supervisor = session.pid, session._process.pid
    os.kill(supervisor, 9)
    session._process.wait()
    deadline = time.monotonic() + 3
    while Path(f"/proc/{runner}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{runner}").exists()


def test_the_judges_memory_is_closed_to_other_processes_of_its_user(session):
    assert os.stat("/proc/self/mem").st_uid == 0
