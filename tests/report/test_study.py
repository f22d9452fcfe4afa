from dataclasses import replace

from kernelsearch.report import StudyProgress, render_study
from kernelsearch.report.study import advise, compare_with_random, compare_with_seeds
from kernelsearch.search import Budget, StudyEnded, StudyStarted, TrialJudged, TrialStarted
from tests.report.conftest import make_result, make_trial, show

FAST, SLOW, REJECTED = make_trial(8, 1.4), make_trial(16, 0.9, "random"), make_trial(16, None, "random")


def play(progress: StudyProgress, *trials) -> None:
    """The events of a study with these trials, ten seconds each."""
    progress(StudyStarted({}, ("sweep", "random"), Budget(seconds=120.0)))
    for number, trial in enumerate(trials, start=1):
        progress(TrialStarted(number, trial.proposer, trial.candidate, 10.0 * number))
        progress(TrialJudged(number, trial, trials[0], 10.0 * number))
    progress(StudyEnded(make_result(*trials)))


def test_without_a_terminal_each_trial_is_one_plain_line(pipe):
    with StudyProgress(pipe) as progress:
        play(progress, FAST, REJECTED)
    assert pipe.file.getvalue().splitlines() == [
        "trial 1 sweep tiled BLOCK=8 PASSED 1.450x [1.400, 1.500] best so far 1.400x, trial 1, 10/120 s",
        "trial 2 random tiled BLOCK=16 MISMATCH at ladder - best so far 1.400x, trial 2, 20/120 s",
    ]


def test_a_name_with_line_ends_and_escapes_stays_one_line(pipe):
    with StudyProgress(pipe) as progress:
        play(progress, make_trial(8, 1.4, origin="a\nb\x1b[2J" + "c" * 200))
    assert len(pipe.file.getvalue().splitlines()) == 1
    assert "\x1b" not in pipe.file.getvalue()


def test_a_kernel_that_passed_and_is_not_accepted_says_why(pipe):
    trial = make_trial(8, 1.4)
    noisy = replace(trial, verdict=replace(trial.verdict, accepted=False, detail="equal; too noisy to tell"))
    with StudyProgress(pipe) as progress:
        play(progress, noisy)
    assert "[1.400, 1.500] (equal; too noisy to tell) best so far" in pipe.file.getvalue()


def test_a_recorded_verdict_is_marked(pipe):
    with StudyProgress(pipe) as progress:
        play(progress, make_trial(8, 1.4, is_cached=True))
    assert "(recorded)" in pipe.file.getvalue()


def test_a_terminal_shows_the_best_so_far_and_the_budget(terminal):
    with StudyProgress(terminal) as progress:
        play(progress, FAST, REJECTED)
    assert "best so far 1.400x, trial 2, 20/120 s" in terminal.file.getvalue()


def test_the_summary_counts_trials_by_status_and_shows_the_best():
    text = show(render_study(make_result(FAST, REJECTED)))
    assert "2 trials in 61 s (2 judged, 0 recorded before), the budget is spent. MISMATCH 1, PASSED 1." in text
    assert "Best: tiled BLOCK=8" in text


def test_smart_search_is_compared_with_random_search_at_the_same_number_of_trials():
    result = make_result(*[make_trial(8, 1.2)] * 5, *[SLOW] * 5, FAST)
    assert compare_with_random(result) == ["After 5 trials each: sweep 1.200x, random 0.900x."]


def test_what_search_added_to_the_seeds_is_said():
    result = make_result(make_trial(16, 1.2), make_trial(8, 1.5))
    (said,) = compare_with_seeds(result, [result.trials[0].candidate])
    assert said.startswith("Seeds as given: tiled 1.200x. Found: 1.500x, 1.250x the best of them")


def test_a_search_that_added_nothing_says_so():
    result = make_result(make_trial(8, 1.5), make_trial(16, 1.2))
    assert "no better than the best of them" in compare_with_seeds(result, [result.trials[0].candidate])[0]


def test_a_seed_that_failed_is_shown_without_a_figure():
    result = make_result(make_trial(16, None), make_trial(8, 1.5))
    assert compare_with_seeds(result, [result.trials[0].candidate]) == ["Seeds as given: tiled -."]


def test_a_search_no_better_than_chance_says_so():
    result = make_result(*[make_trial(8, 1.2)] * 5, *[make_trial(16, 1.3, "random")] * 5)
    assert compare_with_random(result)[0].endswith("sweep was no better than chance here.")


def test_a_short_search_is_not_judged():
    assert compare_with_random(make_result(FAST, SLOW))[0].endswith("random 0.900x: too few to tell.")


def test_a_study_without_a_winner_says_so():
    assert advise(make_result(SLOW)).startswith("No candidate beat the baseline yet.")
    assert "kernelsearch check" in advise(make_result(SLOW, reason="exhausted"))


def test_a_study_that_only_proved_names_no_best():
    trial = make_trial(16, 0.9)
    proven = replace(
        trial, verdict=replace(trial.verdict, accepted=False, speedup=None, low=None, high=None, detail="not timed")
    )
    assert advise(make_result(proven)).startswith("1 equal and none the best: not timed")


def test_an_interrupted_study_tells_how_to_go_on():
    assert "run the same command again" in advise(make_result(FAST, reason="interrupted"))


def test_a_winner_is_sent_to_the_race():
    assert "judged again from scratch" in advise(make_result(FAST))


def test_a_noisy_machine_is_not_answered_with_a_larger_budget():
    noisy = replace(SLOW, verdict=replace(SLOW.verdict, detail="equal; too noisy to tell whether faster"))
    assert "when the machine is quieter" in advise(make_result(noisy))


def test_a_study_without_a_trial_is_shown():
    assert "No candidate was tried" in show(render_study(make_result(reason="interrupted")))
