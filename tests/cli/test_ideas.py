"""The queue from the command line: what it answers, and what it takes from the judge rather than from people."""

import json

import pytest

from kernelsearch.cli import ideas
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger
from kernelsearch.spec import Status, Verdict

TEXT = "prefetch the next row of logits while this one is summed"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    return tmp_path


def file(**fields) -> str:
    options = {"target": "relu2", "predicts": "1.05x", "against": "best", "source": "", "author": "me", "device": "cpu"}
    return ideas.add(TEXT, **{**options, **fields}, force=False)[0]["id"]


def judged(home, status: Status = Status.PASSED, low: float = 50.0, accepted: bool = True) -> str:
    verdict = Verdict("relu2", "ab" * 32, "cpp", "float32", status, "", 1.0, accepted, speedup=51.0, low=low, high=52.0)
    body = {"candidate": verdict.digest, "context": "x", "verdict": verdict.as_json()}
    Ledger(home / "ledger.jsonl").append("trial", body)
    return verdict.digest[:10]


def test_what_is_filed_is_listed_claimed_and_closed_with_the_judges_figures(home):
    idea_id = file()
    assert ideas.claim(idea_id, None, "cpu", 60, "w")[0]["claimed"]["state"] == "claimed"
    closed, status = ideas.close(idea_id, None, judged(home), (None, None, None), "", "w")
    assert (closed["outcome"]["outcome"], closed["outcome"]["measured"]["by"], status) == ("faster", "judge", 0)
    assert idea_id in [idea["id"] for idea in ideas.list_ideas("closed", "relu2")[0]["ideas"]]


def test_an_outcome_that_the_verdict_contradicts_is_refused(home):
    idea_id, candidate = file(), judged(home, Status.MISMATCH, accepted=False)
    with pytest.raises(UsageError, match="makes it 'wrong'"):
        ideas.close(idea_id, "faster", candidate, (None, None, None), "", "w")


def test_a_figure_of_somebodys_own_says_who_vouches_for_it():
    closed, _ = ideas.close(file(), "slower", None, (0.9, 0.8, 1.0), "", "w")
    assert closed["outcome"]["measured"]["by"] == "reporter"


@pytest.mark.parametrize("figures", [(1.0, None, None), (1.0, 1.1, 1.2), (float("nan"), 1.0, 1.0)])
def test_a_figure_without_its_interval_is_refused(figures):
    with pytest.raises(UsageError, match="low <= speedup"):
        ideas.close(file(), "slower", None, figures, "", "w")


def test_who_claims_is_told_what_was_tried_before_in_vain():
    claimed, _ = ideas.claim(None, "relu2", "cpu", 60, "w")
    assert "slower" in [idea["outcome"]["outcome"] for idea in claimed["tried_before"]]


def test_nothing_to_claim_is_the_answer_no():
    assert ideas.claim(None, "pack_documents", "cpu", 60, "w") == ({"claimed": None}, 1)


def test_the_report_compares_with_what_was_predicted(home):
    idea_id = file(against="baseline", predicts="60x")
    ideas.close(idea_id, None, judged(home), (None, None, None), "", "w")
    (row,) = [row for row in ideas.report()[0]["ideas"] if row["id"] == idea_id]
    assert row["kept_promise"] is False


def test_an_imported_list_is_filed_once(home):
    (home / "list.toml").write_text(f'[[idea]]\ntext = "{TEXT}"\ntarget = "relu2"\n')
    answers = [ideas.import_ideas(home / "list.toml", "me", force=False) for _ in range(2)]
    assert [(len(a["filed"]), len(a["left_out"]), status) for a, status in answers] == [(1, 0, 0), (0, 1, 1)]


def test_the_command_prints_one_document(run):
    done = run("ideas", "list", "--target", "relu2", "--json")
    assert {idea["state"] for idea in json.loads(done.stdout)["ideas"]} == {"open"}
