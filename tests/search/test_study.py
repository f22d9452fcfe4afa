import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelsearch.digest import digest
from kernelsearch.errors import Infrastructure
from kernelsearch.ledger import Ledger, Objects, read_lines
from kernelsearch.search import (
    Budget,
    EvolveProposer,
    FileProposer,
    RandomProposer,
    StudyEnded,
    StudyResult,
    SurrogateProposer,
    SweepProposer,
    Trial,
    TrialJudged,
    best_of,
    recorded_candidate,
    recorded_verdict,
    run_study,
)
from kernelsearch.spec import Candidate, Status
from tests.search.conftest import Judge, hill, make_seed, make_verdict

CONTEXT = {"target": "toy", "dtype": "float32"}
SOME = Budget(trials=16)
SEEDS = [make_seed("a", X=[0, 1, 2, 3, 4, 5], Y=[4, 0, 8]), make_seed("b", Z=[1, 2])]


def study(folder: Path, evaluate, *, context=CONTEXT, budget=SOME, on_event=lambda event: None, seed=0):
    """Sweep against random over SEEDS, with the ledger in `folder`."""
    proposers = [SweepProposer(SEEDS, seed), RandomProposer(SEEDS, seed)]
    ledger, objects = Ledger(folder / "ledger.jsonl"), Objects(folder / "objects")
    return run_study(proposers, evaluate, ledger, context=context, budget=budget, objects=objects, on_event=on_event)


def digests(result: StudyResult) -> list[str]:
    return [trial.candidate.digest for trial in result.trials]


def recorded(folder: Path, kind: str) -> list[dict]:
    return [line.body for line in read_lines(folder / "ledger.jsonl") if line.kind == kind]


def test_proposers_take_turns(tmp_path):
    result = study(tmp_path, Judge(hill))
    assert Counter(trial.proposer for trial in result.trials) == {"sweep": 8, "random": 8}


def test_no_digest_is_judged_twice_and_the_second_asker_is_told_the_recorded_verdict(tmp_path):
    judge = Judge(hill)
    result = study(tmp_path, judge, budget=Budget())
    assert (len(result.trials), len(judge.judged), len(set(judge.judged))) == (40, 20, 20)
    assert [trial.verdict.low for trial in result.trials] == [hill(t.candidate) for t in result.trials]


def test_a_study_ends_when_all_is_tried(tmp_path):
    assert study(tmp_path, Judge(hill), budget=Budget()).reason == "exhausted"


def test_a_study_ends_when_its_time_is_over(tmp_path):
    clock = iter(range(100))
    proposers, ledger = [FileProposer(SEEDS * 10)], Ledger(tmp_path / "ledger.jsonl")
    result = run_study(
        proposers,
        Judge(hill),
        ledger,
        context=CONTEXT,
        budget=Budget(seconds=9),
        objects=Objects(tmp_path),
        clock=lambda: float(next(clock)),
    )
    assert (result.reason, 0 < len(result.trials) < 9) == ("budget", True)


def test_the_best_is_the_highest_lower_end(tmp_path):
    result = study(tmp_path, Judge(hill), budget=Budget())
    assert result.best.score == max(hill(t.candidate) or 0 for t in result.trials)


def test_an_accepted_candidate_is_better_than_a_faster_one_that_is_not():
    fast, accepted = make_seed("fast"), make_seed("accepted")
    verdicts = [replace(make_verdict(fast, 1.5), accepted=False), make_verdict(accepted, 1.01)]
    trials = [Trial(c, v, "file", False) for c, v in zip([fast, accepted], verdicts, strict=True)]
    assert best_of(trials) == trials[1]


def test_trajectories_tell_how_far_each_came_with_how_many_trials(tmp_path):
    result = study(tmp_path, Judge(hill), budget=Budget())
    sweep = [trial.score for trial in result.trials if trial.proposer == "sweep"]
    found = [result.trajectories[0].best_low_at(n) for n in range(1, 21)]
    assert found == [max(sweep[:n]) if max(sweep[:n]) > 0 else None for n in range(1, 21)]


def test_running_again_judges_nothing_and_finds_the_same(tmp_path):
    first, again = study(tmp_path, Judge(hill)), Judge(hill)
    second = study(tmp_path, again)
    assert (digests(second), again.judged) == (digests(first), [])
    assert second.best.candidate == first.best.candidate


def test_another_context_is_judged_anew(tmp_path):
    study(tmp_path, Judge(hill))
    again = Judge(hill)
    study(tmp_path, again, context={**CONTEXT, "dtype": "bfloat16"})
    assert len(set(again.judged)) == len(again.judged) > 0


class Killed(BaseException):
    """Stands for kill -9: nothing of the study runs after it."""


@settings(max_examples=20, deadline=None)
@given(killed_at=st.integers(1, 11), cut=st.integers(0, 2000), seed=st.integers(0, 5))
@pytest.mark.filterwarnings("ignore:.*unfinished:UserWarning")
def test_a_study_killed_at_any_point_judges_nothing_twice(killed_at, cut, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    whole = study(tmp_path_factory.mktemp("whole"), Judge(hill), seed=seed)
    kill(folder, killed_at, cut, seed)
    kept = {body["candidate"] for body in recorded(folder, "trial")}
    after = Judge(hill)
    assert digests(study(folder, after, seed=seed)) == digests(whole)
    assert not kept & set(after.judged)


def kill(folder: Path, killed_at: int, cut: int, seed: int) -> None:
    """Die in trial number `killed_at`, with the last line cut short by up to `cut` bytes."""

    def die(event: object) -> None:
        if isinstance(event, TrialJudged) and event.number == killed_at:
            raise Killed

    with pytest.raises(Killed):
        study(folder, Judge(hill), on_event=die, seed=seed)
    path = folder / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)[:-1]  # a killed process writes no study-end
    lines[-1] = lines[-1][: max(0, len(lines[-1]) - cut)]
    path.write_bytes(b"".join(lines))


RUN_SLOWLY = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.search.test_study import Judge, hill, study
def slow(candidate):
    time.sleep(0.05)
    return hill(candidate)
study(Path(sys.argv[1]), Judge(slow))
"""


def start_slow_study(folder: Path, wanted_trials: int) -> subprocess.Popen:
    """A study in another process, returned once it has recorded `wanted_trials` trials."""
    root = Path(__file__).resolve().parents[2]
    # Interrupts are ignored where the tests themselves run in the background.
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen([sys.executable, "-c", RUN_SLOWLY, folder, root], preexec_fn=heed)
    path = folder / "ledger.jsonl"
    while process.poll() is None and not (path.exists() and path.read_bytes().count(b'"trial"') >= wanted_trials):
        time.sleep(0.01)
    return process


@pytest.mark.filterwarnings("ignore:.*unfinished:UserWarning")
def test_a_study_goes_on_after_kill_9(tmp_path):
    process = start_slow_study(tmp_path, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept, after = {body["candidate"] for body in recorded(tmp_path, "trial")}, Judge(hill)
    study(tmp_path, after)
    assert len(kept) >= 3
    assert not kept & set(after.judged)


def test_ctrl_c_ends_a_study_cleanly(tmp_path):
    process = start_slow_study(tmp_path, 3)
    process.send_signal(signal.SIGINT)
    assert process.wait() == os.EX_OK
    assert [body["reason"] for body in recorded(tmp_path, "study-end")] == ["interrupted"]


def test_an_interrupted_study_still_returns_its_best(tmp_path):
    judge = Judge(hill)

    def interrupt(candidate: Candidate, to_beat: float | None):
        if len(judge.judged) == 3:
            raise KeyboardInterrupt
        return judge(candidate)

    result = study(tmp_path, interrupt)
    assert (result.is_interrupted, result.judged, result.best is not None) == (True, 3, True)


def test_a_trial_that_infrastructure_ended_is_judged_again(tmp_path):
    broken = SEEDS[0].digest
    status = {broken: Status.INFRASTRUCTURE}
    study(tmp_path, lambda c, to_beat: make_verdict(c, 1.5, status.get(c.digest, Status.PASSED)), budget=Budget())
    again = Judge(hill)
    study(tmp_path, again, budget=Budget())
    assert again.judged == [broken]


def first_look(c, to_beat):
    """Seed b is the best; what is below it is not proven."""
    low = 1.5 if c.origin == "b" else 1.2 if c == SEEDS[0] else 0.5
    return make_verdict(c, low, Status.SLOWER if to_beat is not None and low < to_beat else Status.PASSED)


def test_a_judge_is_told_what_is_to_be_beaten(tmp_path):
    told = []
    study(tmp_path, lambda c, to_beat: told.append(to_beat) or first_look(c, to_beat), budget=Budget(trials=4))
    assert told[0] is None and set(told[1:]) == {1.2, 1.5}


def test_a_slower_candidate_has_a_score_and_is_never_the_best_while_another_is_accepted(tmp_path):
    result = study(tmp_path, first_look, budget=Budget())
    slower = [trial for trial in result.trials if trial.verdict.status is Status.SLOWER]
    assert {trial.score for trial in slower} == {0.5}
    assert result.best is not None and result.best.candidate.origin == "b"


def test_what_was_slower_than_one_kernel_says_nothing_where_less_is_to_be_beaten(tmp_path):
    result = study(tmp_path, first_look, budget=Budget())
    slower = next(trial.candidate for trial in result.trials if trial.verdict.status is Status.SLOWER)
    ledger, context = Ledger(tmp_path / "ledger.jsonl"), digest(CONTEXT)
    found = [recorded_verdict(ledger, slower.digest, context, to_beat) for to_beat in (None, 0.4, 0.6)]
    assert [verdict is not None for verdict in found] == [False, False, True]


def test_infrastructure_failing_again_and_again_ends_the_study(tmp_path):
    with pytest.raises(Infrastructure, match="3 trials in a row"):
        study(tmp_path, lambda candidate, to_beat: make_verdict(candidate, None, Status.INFRASTRUCTURE))
    assert [body["reason"] for body in recorded(tmp_path, "study-end")] == ["failed"]


def test_a_recorded_candidate_is_the_candidate_that_was_judged(tmp_path):
    result = study(tmp_path, Judge(hill))
    line = next(line for line in read_lines(tmp_path / "ledger.jsonl") if line.kind == "trial")
    assert recorded_candidate(line, Objects(tmp_path / "objects")) == result.trials[0].candidate


def test_the_record_of_a_study_names_its_proposers_and_their_seeds(tmp_path):
    study(tmp_path, Judge(hill), seed=7)
    proposers = recorded(tmp_path, "study")[0]["proposers"]
    assert [(p["name"], p["settings"]["seed"]) for p in proposers] == [("sweep", 7), ("random", 7)]


def test_the_last_event_carries_the_result(tmp_path):
    events: list[object] = []
    result = study(tmp_path, Judge(hill), on_event=events.append)
    assert events[-1] == StudyEnded(result)


def test_two_proposers_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="different names"):
        run_study(
            [FileProposer(SEEDS), FileProposer(SEEDS)],
            Judge(hill),
            Ledger(tmp_path / "l"),
            context=CONTEXT,
            budget=Budget(),
            objects=Objects(tmp_path),
        )


def alone(folder: Path, make, evaluate, prepare=None) -> list[str]:
    """One proposer by itself; the digests in the order of asking."""
    ledger, objects = Ledger(folder / "ledger.jsonl"), Objects(folder / "objects")
    more = {"context": CONTEXT, "budget": SOME, "objects": objects, "prepare": prepare}
    return digests(run_study([make(SEEDS, 0)], evaluate, ledger, **more))


def fail_all(candidate: Candidate, to_beat: float | None):
    return replace(make_verdict(candidate, 1.5), status=Status.SLOWER, accepted=False)


@pytest.mark.parametrize("make", [SweepProposer, EvolveProposer, SurrogateProposer, RandomProposer])
def test_looking_ahead_changes_nothing_of_a_study(tmp_path, make):
    told: list[str] = []
    with_it = alone(tmp_path / "a", make, Judge(hill), lambda candidate: told.append(candidate.digest))
    assert with_it == alone(tmp_path / "b", make, Judge(hill)) and len(told) >= 15


def test_where_trials_bring_nothing_new_the_next_one_is_foreseen(tmp_path):
    told: list[str] = []
    asked = alone(tmp_path, RandomProposer, fail_all, lambda candidate: told.append(candidate.digest))
    assert told[: len(asked) - 1] == asked[1:]


def test_what_is_on_record_is_not_prepared_for(tmp_path):
    alone(tmp_path, SweepProposer, Judge(hill))
    told: list[str] = []
    alone(tmp_path, SweepProposer, Judge(hill), lambda candidate: told.append(candidate.digest))
    assert told == []
