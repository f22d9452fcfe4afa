"""scripts/gpu_evidence.sh: says so where there is no GPU, and loses nothing that it knew."""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kernelsearch.sandbox.gpu.device import CpuDevice

ROOT = Path(__file__).parent.parent


@pytest.fixture
def evidence():
    spec = importlib.util.spec_from_file_location("gpu_evidence", ROOT / "bench" / "gpu_evidence.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_evidence"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu_evidence"]


@pytest.fixture
def rivals():
    spec = importlib.util.spec_from_file_location("gpu_rivals", ROOT / "bench" / "gpu_rivals.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def begun(evidence, tmp_path):
    document = {"device": {"name": "X"}, "date": "2026-11-23", "commit": "abc"}
    return evidence.Evidence(tmp_path / "x" / "found.json", document)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_ends_with_one_clear_sentence(monkeypatch):
    monkeypatch.setenv("PYTHON", sys.executable)
    done = subprocess.run(["bash", "scripts/gpu_evidence.sh"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "no GPU" in done.stderr


def test_the_plan_names_every_seed_and_what_is_missing(evidence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_evidence.py", "--plan", "--parts", "judge,sanitizer", "--targets", "relu2"])
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit) as ended:
        evidence.main()
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "  triton relu2/flat\n  cuda relu2/vectors\n" in said and "attention" not in said
    assert "missing here: program compute-sanitizer" in said and "would fail" not in said


def test_a_plan_tells_a_group_that_a_target_lacks(evidence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_evidence.py", "--plan", "--targets", "relu2", "--group", "huge"])
    with pytest.raises(SystemExit):
        evidence.main()
    assert "would fail: triton relu2/flat: workload='huge'" in capsys.readouterr().out


def test_a_part_alone_has_the_time_of_all(evidence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_evidence.py", "--plan", "--parts", "race", "--seconds", "300"])
    with pytest.raises(SystemExit):
        evidence.main()
    assert "race: at most 300 s." in capsys.readouterr().out


def test_the_parts_together_stay_below_nine_minutes(evidence):
    assert set(evidence.LIMITS_S) == set(evidence.PARTS)
    assert sum(evidence.LIMITS_S.values()) < 9 * 60


def test_every_row_is_on_disk_before_the_next_question(begun):
    begun.add("judge", {"target": "relu2", "seed": "flat", "status": "CRASH", "detail": "boom"})
    assert json.loads(begun.path.read_text())["judge"][0]["status"] == "CRASH"
    assert "| relu2 | flat | CRASH | not timed | - | boom |" in begun.path.with_suffix(".md").read_text()


def test_losses_and_failed_contenders_are_in_the_table(begun):
    versus = {"compile": {"speedup": 0.7, "low": 0.6, "high": 0.8}}
    row = {"workload": "d12/relu2", "seed": "flat", "us": {"seed": 10.0}, "vs": versus, "speed_of_light_us": 5.0}
    begun.add("bench", row | {"errors": {"Liger": "ImportError"}})
    assert (
        "| d12/relu2 | flat | 10.0 | 50% | compile 0.70x [0.60, 0.80], Liger: failed |"
        in begun.path.with_suffix(".md").read_text()
    )


def test_a_seed_that_breaks_the_device_costs_itself_alone(evidence, begun, monkeypatch):
    asked = argparse.Namespace(targets=["relu2"], jobs=2, dtype="bfloat16", place="cuda", group="d12")
    commands = []

    def run(command, timeout_s, *, sharers=1, silence_s=0.0, on_line=None):
        if on_line is None:
            return 0, "", ""
        commands.append([part for part in command if part.count("/") == 2])
        on_line(json.dumps({"begun": commands[-1][0]}))
        return (1, "", "illegal memory access") if len(commands) == 1 else (0, "", "")

    monkeypatch.setattr(evidence, "run", run)
    evidence.part_bench(begun, asked, time.monotonic() + 60)
    assert commands == [["relu2/flat/triton", "relu2/vectors/cuda"], ["relu2/vectors/cuda"]]
    row = {"target": "relu2", "seed": "flat", "language": "triton", "error": "illegal memory access"}
    assert begun.document["bench"] == [row]


def test_a_rival_that_cannot_be_captured_meets_a_seed_that_is_launched(rivals):
    class Clock(CpuDevice):
        """Launches take ten times as long as replays."""

        def capture(self, work):
            return None if work is plain else (lambda: None)

        def time(self, work):
            seconds = 1e-3 if work in (plain, seed) else 1e-4
            return seconds, seconds

    def seed():
        pass

    def plain():
        pass

    found = rivals.compare({"seed": seed, "captured": lambda: None, "plain": plain}, Clock(), 0.0)
    assert found["graphs"] == ["seed", "captured"]
    assert {name: versus["speedup"] for name, versus in found["vs"].items()} == pytest.approx(
        {"captured": 1.0, "plain": 1.0}
    )


def test_a_line_is_heard_before_the_command_ends(evidence):
    heard = []
    evidence.run(
        ["bash", "-c", "echo begun; sleep 0.5; echo done"], 5.0, on_line=lambda _: heard.append(time.monotonic())
    )
    assert heard[1] - heard[0] > 0.4


def test_a_command_that_falls_silent_is_stopped(evidence):
    started = time.monotonic()
    status, out, _ = evidence.run(["bash", "-c", "echo begun; sleep 60"], 30.0, silence_s=0.5)
    assert (status, out) == (None, "begun\n") and time.monotonic() - started < 20


def test_a_command_is_stopped_at_its_limit_with_all_it_started(evidence):
    status, out, _ = evidence.run(["bash", "-c", "echo begun; sleep 60 & sleep 60"], 1.0)
    assert (status, out) == (None, "begun\n")
