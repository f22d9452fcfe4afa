"""The corpora of the studied targets are as large and as balanced as the scorecard promises; nothing is judged here."""

from collections import Counter
from pathlib import Path

import pytest

from kernelsearch.scorecard.corpus import Subject, honest_subjects, mutant_subjects
from kernelsearch.scorecard.measure import QUOTA
from kernelsearch.scorecard.result import pass_of
from kernelsearch.spec import TargetFolder, library_path

HONEST = Path(__file__).parent.parent / "honest"
FOLDERS = [TargetFolder(library_path() / folder.name) for folder in sorted(HONEST.iterdir())]


@pytest.fixture(scope="module")
def mutants() -> list[Subject]:
    return mutant_subjects(FOLDERS, HONEST, QUOTA)


def test_there_are_a_hundred_honest_kernels_of_all_targets():
    honest = honest_subjects(FOLDERS, HONEST)
    assert len(honest) >= 100
    assert len({(s.base.target, s.base.name) for s in honest}) >= 24
    assert min(Counter(s.base.target for s in honest).values()) >= 24


def test_every_target_and_dtype_has_the_same_number_of_mutants(mutants):
    assert set(Counter((s.base.target, s.dtype) for s in mutants).values()) == {QUOTA}


def test_every_base_has_mutants(mutants):
    assert {s.base for s in mutants} == {s.base for s in honest_subjects(FOLDERS, HONEST)}


def test_both_halves_of_the_corpus_are_large(mutants):
    assert min(Counter(s.mutant.split for s in mutants).values()) >= 600


def test_targets_with_a_backward_have_mutants_of_it(mutants):
    backward = Counter(s.base.target for s in mutants if pass_of(s.mutant.function) == "backward")
    assert min(backward[f.target.name] for f in FOLDERS if f.target.entries[0].has_backward) >= 60


def test_no_mutant_comes_twice(mutants):
    assert len({s.mutant.digest for s in mutants}) == len(mutants)
