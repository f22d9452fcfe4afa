"""Proposers, and the study that asks, judges, logs and tells."""

from kernelsearch.search.campaign import CampaignResult, Visit, Visited, Work, run_campaign
from kernelsearch.search.events import (
    Budget,
    CallEnded,
    CallStarted,
    Event,
    StudyEnded,
    StudyStarted,
    TrialJudged,
    TrialStarted,
)
from kernelsearch.search.evolve import Evolution, EvolveProposer
from kernelsearch.search.finalists import FINALISTS, Finalist, choose_finalists
from kernelsearch.search.graft import Template, templates
from kernelsearch.search.idea import Ideas, no_ideas
from kernelsearch.search.proposer import REJECTED, FileProposer, Proposer, Trial
from kernelsearch.search.replay import ReplayProposer, recorded_candidates
from kernelsearch.search.result import Reason, StudyResult, Trajectory, best_of
from kernelsearch.search.space import Space
from kernelsearch.search.standing import Standing
from kernelsearch.search.study import recorded_candidate, recorded_verdict, run_study, trial_body
from kernelsearch.search.surrogate import SurrogateProposer
from kernelsearch.search.sweep import RandomProposer, SweepProposer

__all__ = [
    "FINALISTS",
    "REJECTED",
    "Budget",
    "CallEnded",
    "CallStarted",
    "CampaignResult",
    "Event",
    "Evolution",
    "EvolveProposer",
    "FileProposer",
    "Finalist",
    "Ideas",
    "Proposer",
    "RandomProposer",
    "Reason",
    "ReplayProposer",
    "Space",
    "Standing",
    "StudyEnded",
    "StudyResult",
    "StudyStarted",
    "SurrogateProposer",
    "SweepProposer",
    "Template",
    "Trajectory",
    "Trial",
    "TrialJudged",
    "TrialStarted",
    "Visit",
    "Visited",
    "Work",
    "best_of",
    "choose_finalists",
    "no_ideas",
    "recorded_candidate",
    "recorded_candidates",
    "recorded_verdict",
    "run_campaign",
    "run_study",
    "templates",
    "trial_body",
]
