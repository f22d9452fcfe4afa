"""The nouns: target, workload, candidate, record. Standard library only."""

from kernelsearch.spec.candidate import Candidate, Value, read_candidate, saved_tensors, tunable_space
from kernelsearch.spec.idea import Effect, Idea, idea_from_json, parse_effect
from kernelsearch.spec.library import TargetFolder, find_target, library_path, target_names
from kernelsearch.spec.record import Gate, Measurement, Resources, Status, Verdict, verdict_from_json
from kernelsearch.spec.target import Axis, Entry, Parameter, Target, TensorSpec, Work
from kernelsearch.spec.workload import Workload

__all__ = [
    "Axis",
    "Candidate",
    "Effect",
    "Entry",
    "Gate",
    "Idea",
    "Measurement",
    "Parameter",
    "Resources",
    "Status",
    "Target",
    "TargetFolder",
    "TensorSpec",
    "Value",
    "Verdict",
    "Work",
    "Workload",
    "find_target",
    "idea_from_json",
    "library_path",
    "parse_effect",
    "read_candidate",
    "saved_tensors",
    "target_names",
    "tunable_space",
    "verdict_from_json",
]
