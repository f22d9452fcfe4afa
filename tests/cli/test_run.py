"""`kernelsearch run` on the stand-in of upstream, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernelsearch.cli.run import Request, make_order, read_trusted, refuse, start
from kernelsearch.errors import UsageError
from tests.dispatch.test_upstream import standin_digests

REPO = Path(__file__).parent.parent / "dispatch" / "upstream"
FIELDS = {
    "repo": REPO,
    "command": ("-m", "tasks.train"),
    "kernels": "none",
    "group": None,
    "targets": (),
    "shadow": None,
    "trust": None,
    "json_file": None,
    "is_identity": False,
    "keeps_memory": False,
}


def run(tmp_path: Path, *options: str, status: int = 0, **environment: str) -> tuple[list[str], dict]:
    """(lines that the script printed, what --json wrote)."""
    (tmp_path / "trust.json").write_text(json.dumps(standin_digests()))
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "kernelsearch",
                "run",
                "--repo",
                str(REPO),
                "--trust",
                str(tmp_path / "trust.json"),
            ),
            *("--json", str(tmp_path / "ran.json"), *options, "--", "-m", "tasks.train", str(status)),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "KERNELSEARCH_HOME": str(tmp_path / "state"), **environment},
    )
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines(), json.loads((tmp_path / "ran.json").read_text())


def test_identity_gives_the_losses_of_a_run_that_is_turned_off(tmp_path: Path):
    plain, off = run(tmp_path, "--identity", status=7, KERNELSEARCH="0")
    patched, on = run(tmp_path, "--identity", status=7)
    assert len(plain) == 3 and plain == patched
    assert not off["enabled"] and "patched" not in off
    assert on["status"] == 7 and on["original_calls"]["mix_norm"] == 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"repo": Path("/nonexistent")}, "repo='/nonexistent'"),
        ({"command": ()}, "after --"),
        ({"shadow": 2.0}, "shadow=2"),
        ({"json_file": Path("/nonexistent/ran.json")}, "json='/nonexistent"),
    ],
)
def test_a_request_that_cannot_run_is_refused_before_anything_starts(fields: dict, message: str):
    with pytest.raises(UsageError, match=message):
        refuse(Request(**{**FIELDS, **fields}))


def test_a_trust_file_that_is_not_of_digests_is_refused(tmp_path: Path):
    (tmp_path / "trust.json").write_text('{"gpt:norm": 1}')
    with pytest.raises(UsageError, match="symbols and digests"):
        read_trusted(tmp_path / "trust.json")


def test_a_script_that_a_signal_ended_has_the_shells_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "die.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    monkeypatch.setenv("KERNELSEARCH", "0")
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "state"))
    order = make_order(Request(**{**FIELDS, "repo": tmp_path, "command": ("die.py",)}))
    assert start({**order, "report": str(tmp_path / "report.json")}) == 128 + 15
