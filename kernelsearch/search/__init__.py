"""Proposers, and the study that asks, judges, logs and tells."""

from kernelsearch.search.events import Budget, Event, StudyEnded, StudyStarted, TrialJudged, TrialStarted
from kernelsearch.search.proposer import REJECTED, FileProposer, Proposer, Trial
from kernelsearch.search.result import Reason, StudyResult, Trajectory, best_of
from kernelsearch.search.study import recorded_candidate, recorded_verdict, run_study, trial_body
from kernelsearch.search.sweep import RandomProposer, SweepProposer

__all__ = [
    "REJECTED",
    "Budget",
    "Event",
    "FileProposer",
    "Proposer",
    "RandomProposer",
    "Reason",
    "StudyEnded",
    "StudyResult",
    "StudyStarted",
    "SweepProposer",
    "Trajectory",
    "Trial",
    "TrialJudged",
    "TrialStarted",
    "best_of",
    "recorded_candidate",
    "recorded_verdict",
    "run_study",
    "trial_body",
]
