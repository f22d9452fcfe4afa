"""The command line as a person or a script meets it, in a process of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelsearch.ledger import Ledger

ROW_SUM = Path(__file__).parent.parent / "sandbox" / "row_sum"
SEED = ROW_SUM / "seeds" / "plain.cpp"


def call(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kernelsearch", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "KERNELSEARCH_HOME": str(home)},
        timeout=110,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_help_does_not_wait_for_torch(home):
    started = time.monotonic()
    assert call("--help", home=home).returncode == 0
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("optimize", "atention"), "target='atention'"),
        (("optimize", "attention", "--workload", "huge"), "workload='huge'"),
        (("optimize", "attention", "--language", "fortran"), "fortran"),
        (("optimize", "attention", "--budget", "soon"), "budget='soon'"),
        (("optimize", "attention", "--proposer", "oracle"), "proposer='oracle'"),
        (("optimize", "attention", "--threads", "4096"), "threads=4096"),
        (("check", "nowhere.cpp", "--target", "attention"), "nowhere.cpp"),
        (("check", str(SEED), "--target", str(ROW_SUM), "--set", "UNROLL=3"), "UNROLL in 1 4"),
        (("targets", "show", "atention"), "target='atention'"),
        (("verify", "nowhere"), "path='nowhere'"),
        (("race", "--config", "enormous"), "enormous"),
    ],
)
def test_wrong_usage_is_one_clear_error_with_status_2(run, arguments, named):
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert done.stdout == ""


def test_wrong_usage_shows_no_traceback(home):
    done = call("optimize", "atention", home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kernelsearch: target='atention'")


def test_check_prints_exactly_one_json_document(home):
    done = call("check", str(SEED), "--target", str(ROW_SUM), "--json", home=home)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["status"], verdict["target"]) == (0, "PASSED", "row_sum")


def test_check_of_a_wrong_kernel_has_status_1(run, tmp_path):
    wrong = tmp_path / "wrong.cpp"
    wrong.write_text(SEED.read_text().replace("scale * sum", "sum"))
    done = run("check", str(wrong), "--target", str(ROW_SUM), "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (1, "MISMATCH")


def test_targets_show_abi_prints_what_a_candidate_must_export(run):
    assert "attention_forward(const scalar_t* q" in run("targets", "show", "attention", "--abi").stderr


def test_optimize_of_ones_own_folder_keeps_a_ledger_that_verifies(home):
    done = call("optimize", str(ROW_SUM), "--trials", "2", "--json", home=home)
    answer = json.loads(done.stdout)
    assert answer["trials"] == 2
    assert set(answer) >= {"target", "language", "trials", "statuses", "best", "stored", "seconds"}
    assert call("verify", str(home / "ledger.jsonl"), home=home).returncode == 0


def test_a_corrupt_ledger_is_named_with_the_way_out(run, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    Ledger(ledger).append("study", {"target": "row_sum"})
    ledger.write_text(ledger.read_text().replace("row_sum", "row_sun"))
    done = run("optimize", str(ROW_SUM), "--trials", "1")
    assert done.returncode == 3
    assert "ledger.jsonl" in done.stderr


def test_doctor_answers(home):
    done = call("doctor", "--json", home=home)
    names = {finding["name"] for finding in json.loads(done.stdout)["findings"]}
    assert {"python", "C++ compiler", "torch", "GPU"} <= names
