"""`kernelsearch doctor` says which protections hold, and refuses where an essential one does not."""

import sys

import pytest

from kernelsearch.cli import doctor
from kernelsearch.cli.extras import declared_extras, install_command, with_exact_commands
from kernelsearch.sandbox.protection import PROTECTIONS
from tests.sandbox.fake_runner import FAKE_RUNNER


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))


def findings(answer) -> dict[str, dict[str, object]]:
    return {f["name"]: f for f in answer["findings"]}


def pretend(monkeypatch, bits: int) -> None:
    monkeypatch.setattr(doctor, "native_command", lambda cache_dir: [sys.executable, "-c", FAKE_RUNNER, str(bits)])


def test_every_protection_is_listed(home):
    answer, _ = doctor.run()
    assert {f"sandbox, {name}" for name in PROTECTIONS.values()} <= set(findings(answer))


def test_a_missing_essential_protection_is_refused_by_name(home, monkeypatch):
    pretend(monkeypatch, 0xFF & ~2)
    answer, status = doctor.run()
    assert (status, answer["usable"]) == (1, False)
    assert findings(answer)["sandbox"]["value"] == "untrusted candidates are refused here"
    assert findings(answer)["sandbox, no files (Landlock)"]["value"] == "absent"


def test_a_missing_protection_that_is_not_essential_says_what_that_means(home, monkeypatch):
    pretend(monkeypatch, 0xFF & ~1)
    answer, status = doctor.run()
    assert status == 0
    assert "start as root" in findings(answer)["sandbox, own user id"]["remedy"]


def test_a_compiler_that_cannot_be_confined_is_refused(home, monkeypatch):
    monkeypatch.setattr(doctor, "jail_command", lambda cache_dir: ["/bin/sh", "-c", "echo no Landlock >&2; exit 98"])
    answer, status = doctor.run()
    assert status == 1
    assert "not compiled here: no Landlock" in findings(answer)["sandbox"]["remedy"]


def test_extras_are_those_of_the_package_metadata():
    lines = ["torch<2.14,>=2.11", 'pyarrow>=16; extra == "nanochat"', "tree-sitter>=0.25; extra == 'scorecard'"]
    assert declared_extras(lines) == {"nanochat": ["pyarrow"], "scorecard": ["tree-sitter"]}


def test_a_missing_extra_comes_with_the_command_that_adds_it(home, monkeypatch):
    monkeypatch.setattr(doctor, "installed_extras", lambda: {"nanochat": {"pyarrow": None, "tiktoken": "0.8"}})
    answer, status = doctor.run()
    found = findings(answer)["extra nanochat"]
    assert (found["is_ok"], found["value"], status) == (False, "without pyarrow", 0)
    assert "pip install" in found["remedy"] and "[nanochat]" in found["remedy"]


def test_advice_from_below_names_the_command_for_this_environment():
    advice = with_exact_commands("triton is not installed: pip install 'kernelsearch[triton]', or not")
    assert advice == f"triton is not installed: {install_command('triton')}, or not"
    assert advice.startswith(f"triton is not installed: {sys.executable} -m pip install ")
