import json
from pathlib import Path

import pytest

from nanochat.checkpoint import latest_step
from nanochat.train import main

from .conftest import TOY_OVERRIDES


@pytest.fixture
def arguments(cache_dir: Path, data_dir: Path) -> list[str]:
    places = ["--cache-dir", str(cache_dir), "--data-dir", str(data_dir)]
    return [*places, "--threads", "1", "--overrides", json.dumps(TOY_OVERRIDES), "--json"]


def test_training_stops_at_the_target(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*arguments, "--until-bpb", "100"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["reached"] and record["steps"] == 10 and len(record["losses"]) == 10


def test_a_run_resumed_past_its_target_stops_at_once(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [*arguments, "--until-bpb", "100", "--checkpoint-dir", str(tmp_path)]
    main(arguments)
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["losses"] == []


def test_a_missed_target_exits_with_one(arguments: list[str]):
    assert main([*arguments, "--until-bpb", "0.01", "--steps", "3"]) == 1


def test_resuming_gives_the_losses_of_an_unbroken_run(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    main([*arguments, "--steps", "6"])
    unbroken = json.loads(capsys.readouterr().out)["losses"]
    main([*arguments, "--steps", "4", "--checkpoint-dir", str(tmp_path)])
    head = json.loads(capsys.readouterr().out)["losses"]
    main([*arguments, "--steps", "6", "--checkpoint-dir", str(tmp_path), "--resume"])
    tail = json.loads(capsys.readouterr().out)["losses"]
    assert head + tail == unbroken
    assert latest_step(tmp_path) == 6


def test_standard_output_is_one_document_and_progress_goes_elsewhere(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    main([*arguments, "--steps", "1"])
    captured = capsys.readouterr()
    assert json.loads(captured.out)["config"] == "tiny" and "step 1 " in captured.err


def test_a_factorys_report_is_part_of_the_record(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    choice = {"factory": "tests.nanochat.test_worker:quiet_ops", "argument": {"rms_norm": 0}}
    main([*arguments, "--steps", "1", "--ops", json.dumps(choice)])
    assert json.loads(capsys.readouterr().out)["ops"]["rms_norm"] > 0


def test_a_wrong_override_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*arguments, "--overrides", '{"no": 1}']) == 2
    assert "overrides=['no']" in capsys.readouterr().err
