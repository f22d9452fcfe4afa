"""An idea's way through a study. The study is stood in for: what it leaves is the ledger's lines."""

from dataclasses import replace

import pytest

from kernelsearch.cli import optimize_idea
from kernelsearch.cli.desk import Desk, who
from kernelsearch.cli.optimize import Request
from kernelsearch.digest import digest_bytes
from kernelsearch.errors import Infrastructure, UsageError
from kernelsearch.ledger import Ledger
from kernelsearch.spec import Idea, Status, Verdict, find_target, library_path

SEEDS = find_target("relu2", library_path()).seeds("cpp")
VERDICT = Verdict("relu2", "ab" * 32, "cpp", "float32", Status.PASSED, "", 1.0, True, speedup=51.0, low=50.0, high=52.0)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "mine.cpp"
    file.write_text("// mine")
    return file


@pytest.fixture
def request_(file) -> Request:
    return Request("relu2", "cpp", None, "float32", "60s", None, "sweep", (file,), 0, None)


def study_of(source: str, *verdicts: Verdict, status: int = 0):
    """A study that judges one source, with its confirmation where there is a second verdict."""

    def study(request: Request):
        assert request.idea is not None
        ledger = Ledger(Desk().ledger.path)
        line = ledger.append("study", {"context": "x"})
        digests = {"candidate": VERDICT.digest, "context": "x"}
        body = {**digests, "study": line.digest, "source": digest_bytes(source.encode())}
        ledger.append("trial", {**body, "verdict": verdicts[0].as_json()})
        for again in verdicts[1:]:
            ledger.append("confirmation", {**digests, "verdict": again.as_json()})
        return {}, status

    return study


def outcome(request: Request, study) -> dict:
    return optimize_idea.run("next", request, study)[0]["idea"]


def test_an_idea_is_closed_with_what_the_study_confirmed(request_):
    again = replace(VERDICT, speedup=41.0, low=40.0, high=42.0)
    closed = outcome(request_, study_of("// mine", VERDICT, again))
    assert (closed["outcome"]["outcome"], closed["outcome"]["measured"]["low"]) == ("faster", 40.0)


def test_a_wrong_candidate_closes_its_idea_as_wrong(request_):
    wrong = replace(VERDICT, status=Status.MISMATCH, accepted=False, speedup=None, low=None, high=None)
    assert outcome(request_, study_of("// mine", wrong))["outcome"]["outcome"] == "wrong"


def test_a_study_that_judged_only_the_targets_seeds_did_not_try_the_idea(request_):
    assert outcome(request_, study_of(next(iter(SEEDS.values())), VERDICT))["state"] == "open"


def test_after_an_interrupt_the_idea_is_open_again(request_):
    assert outcome(request_, study_of("// mine", VERDICT, status=130))["state"] == "open"


def test_after_an_error_the_idea_is_open_again(request_):
    def fails(request: Request):
        raise Infrastructure("broken")

    with pytest.raises(Infrastructure):
        outcome(request_, fails)
    assert Desk().queue.entries("claimed") == []


def test_a_search_that_cannot_carry_out_an_idea_is_refused_before_it_claims_one(request_):
    with pytest.raises(UsageError, match="--candidate FILE"):
        optimize_idea.run("next", replace(request_, candidates=()), study_of("", VERDICT))
    assert Desk().queue.entries("claimed") == []


def test_an_idea_for_another_target_is_refused(request_):
    entry = Desk().queue.add(Idea("an idea for another target", "mix_norm"))
    with pytest.raises(UsageError, match="is for target 'mix_norm'"):
        optimize_idea.run(entry.idea.id, request_, study_of("", VERDICT))


def test_an_idea_that_the_user_claimed_is_carried_out_for_the_user(request_):
    desk = Desk()
    claimed = desk.queue.claim(who(None), 60.0, target="relu2", device="cpu")
    assert claimed is not None
    closed = optimize_idea.run(claimed.idea.id, request_, study_of("// mine", VERDICT))[0]["idea"]
    assert closed["state"] == "closed"


def test_an_idea_that_somebody_else_claimed_is_left_to_them(request_):
    claimed = Desk().queue.claim("somebody", 60.0, target="relu2", device="cpu")
    assert claimed is not None
    with pytest.raises(UsageError, match="somebody"):
        optimize_idea.run(claimed.idea.id, request_, study_of("// mine", VERDICT))
