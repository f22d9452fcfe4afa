from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.errors import CorruptState, UsageError
from kernelsearch.ledger import Ledger, Objects, read_lines
from kernelsearch.report import Evidence, collect, render_content, report_ledger, write_content
from kernelsearch.search import Budget, FileProposer, Trial, run_study, trial_body
from kernelsearch.spec import Measurement
from tests.report.conftest import make_trial, show

CONTEXT = {"target": "attention", "dtype": "float32", "workloads": [{"name": "tiny/full"}, {"name": "tiny/window"}]}


def write_study(folder: Path, *trials: Trial, contract: str = "one") -> Path:
    """A ledger in `folder` with one more study of these trials."""
    verdicts = {trial.candidate.digest: trial.verdict for trial in trials}
    ledger = Ledger(folder / "ledger.jsonl", clock=lambda: "2026-01-02T03:04:05.000+00:00")
    run_study(
        [FileProposer([trial.candidate for trial in trials])],
        lambda candidate, to_beat: verdicts[candidate.digest],
        ledger,
        context={**CONTEXT, "contract": contract},
        budget=Budget(),
        objects=Objects(folder / "objects"),
    )
    return ledger.path


def test_the_best_of_a_target_is_the_highest_lower_end(tmp_path):
    report = report_ledger(write_study(tmp_path, make_trial(8, 1.2), make_trial(16, 1.4)))
    assert [(row.target, row.workloads, row.tunables, row.low) for row in report.best] == [
        ("attention", "tiny", {"BLOCK": 16}, 1.4)
    ]


def test_a_single_check_is_named_by_the_workloads_it_timed(tmp_path):
    trial = make_trial(8, 1.2)
    measured = Measurement("tiny/full", "float32", "forward", 1.3, 1.2, 1.4, 1.0, 1.3, 0.5, 0.01, 9, 1.0)
    verdict = replace(trial.verdict, measurements=(measured,))
    body = trial_body(trial.candidate, verdict, "source", "a context", "check", None)
    Ledger(tmp_path / "ledger.jsonl").append("trial", body)
    assert [row.workloads for row in report_ledger(tmp_path / "ledger.jsonl").best] == ["tiny"]


def test_figures_of_an_older_contract_do_not_compete(tmp_path):
    write_study(tmp_path, make_trial(8, 1.9))
    report = report_ledger(write_study(tmp_path, make_trial(16, 1.4), contract="two"))
    assert [row.low for row in report.best] == [1.4]


def confirm(path: Path, trial: Trial, low: float) -> Path:
    """The ledger with `trial` judged again, now with its lower end at `low`."""
    ledger = Ledger(path)
    again = replace(trial.verdict, low=low, accepted=low > 1)
    body = {"candidate": trial.candidate.digest, "context": {**CONTEXT, "contract": "one"}, "verdict": again.as_json()}
    ledger.append("confirmation", body)
    return path


def test_a_winner_judged_again_is_shown_with_its_second_verdict(tmp_path):
    trial = make_trial(16, 1.4)
    report = report_ledger(confirm(write_study(tmp_path, make_trial(8, 1.2), trial), trial, 1.3))
    assert [(row.low, row.is_confirmed) for row in report.best] == [(1.3, True)]


def test_a_winner_that_was_not_confirmed_gives_way_to_the_next(tmp_path):
    trial = make_trial(16, 1.4)
    report = report_ledger(confirm(write_study(tmp_path, make_trial(8, 1.2), trial), trial, 0.9))
    assert [(row.low, row.is_confirmed) for row in report.best] == [(1.2, False)]


def test_trials_are_counted_by_status(tmp_path):
    report = report_ledger(write_study(tmp_path, make_trial(8, 1.2), make_trial(16, None)))
    assert report.statuses == {"MISMATCH": 1, "PASSED": 1}


def test_a_study_whose_run_was_killed_is_unfinished(tmp_path):
    path = write_study(tmp_path, make_trial(8, 1.2))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert [(row.ended, row.trials, row.best_low) for row in report_ledger(path).studies] == [("unfinished", 1, 1.2)]


def content(path: Path):
    return collect(Evidence("ledger.jsonl", list(read_lines(path)), Objects(path.parent / "objects"), (), {}, ()))


def test_the_terminal_view_shows_best_and_studies(tmp_path):
    text = show(render_content(content(write_study(tmp_path, make_trial(8, 1.2)))), width=100)
    assert "1.250x [1.200, 1.300]" in text
    assert "exhausted" in text


def test_markdown_shows_the_same_cells(tmp_path):
    text = write_content(content(write_study(tmp_path, make_trial(8, 1.2))))
    assert "| attention | float32 | tiny |" in text
    assert "1.250x" in text


def test_a_file_name_cannot_break_a_markdown_table(tmp_path):
    trial = make_trial(8, 1.2, origin="a|b\n<img src=x> [link](y)")
    text = write_content(content(write_study(tmp_path, trial)))
    assert r"a\|b &lt;img src=x> \[link\](y)" in text


def test_a_ledger_without_a_trial_is_reported(tmp_path):
    assert "No trial yet" in show(render_content(content(write_study(tmp_path))))


def test_a_damaged_ledger_is_not_reported(tmp_path):
    path = write_study(tmp_path, make_trial(8, 1.2))
    path.write_bytes(path.read_bytes().replace(b"1.2", b"9.2", 1))
    with pytest.raises(CorruptState):
        report_ledger(path)


def test_a_missing_ledger_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"ledger\.jsonl"):
        report_ledger(tmp_path / "ledger.jsonl")
