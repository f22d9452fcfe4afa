"""`kernelsearch report`: where its evidence comes from, and which forms it writes."""

import shutil
from pathlib import Path

import pytest

from kernelsearch.cli import report as command
from kernelsearch.cli.page import own_folders
from kernelsearch.errors import UsageError
from kernelsearch.report.results import read_results
from tests.report.recorded import RACE, record

ROW_SUM = Path(__file__).parent.parent / "sandbox" / "row_sum"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty state folder; the reader stands where no results are."""
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_without_ledger_and_results_it_says_how_to_get_them(home):
    with pytest.raises(UsageError, match="kernelsearch optimize TARGET"):
        command.run(None)


def test_recorded_results_are_reported_without_a_ledger(home, tmp_path):
    document, status = command.run(tmp_path / "report.md", results=record(tmp_path / "cpu", "race-tiny", RACE))
    assert (status, document["answer"]["is_yes"], document["trials"]) == (0, True, 0)
    assert "**Yes: training got to the same loss 1.50x sooner.**" in (tmp_path / "report.md").read_text()


def test_targets_of_one_s_own_functions_are_known(home):
    shutil.copytree(ROW_SUM, home / "targets" / "row_sum-0123456789ab")
    assert list(own_folders(home)) == ["row_sum"]


def test_the_checkout_s_own_results_can_be_read():
    root = Path(__file__).resolve().parents[2] / "bench" / "results"
    kinds = {document.kind for device in read_results(root) for document in device.documents}
    assert kinds >= {"race", "bench", "step"}
