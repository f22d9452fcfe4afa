"""What a proposer sees of a failure: the plainest numbers that show it, within a bounded number of runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.spec import TargetFolder, library_path, target_names
from kernelsearch.verify.case import Case, make_case
from kernelsearch.verify.check import Domain, check_case
from kernelsearch.verify.oracle import run_baseline
from kernelsearch.verify.run import CandidateFailure
from kernelsearch.verify.shrink import MAXIMUM_RUNS

ROW_SUM = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")


class Wrong:
    """The baseline with one result spoilt, as a candidate; counts its runs."""

    def __init__(self, folder, spoil):
        self.folder, self.spoil, self.runs = folder, spoil, 0

    def __call__(self, entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
        self.runs += 1
        workload = next(w for w in self.folder.edges("float32") if w.entry == entry)
        case = Case(type(workload)("x/y", entry, sizes, parameters, "float32"), "", inputs, output_gradients)
        return self.spoil(inputs, run_baseline(self.folder, case))


def counterexample(folder, run, index=-1):
    case = make_case(folder, folder.edges("float32")[index], "normal", np.random.default_rng())
    with pytest.raises(CandidateFailure) as caught:
        check_case(folder, case, run, Domain(), shift=3)
    return caught.value.counterexample


def test_a_missing_second_element_is_shown_by_two_numbers():
    run = Wrong(ROW_SUM, lambda inputs, got: {**got, "total": got["total"] * 0 + inputs["x"][:, 0]})
    assert "N=1 D=1 " in counterexample(ROW_SUM, run)
    assert "x=[[1]] gives total=[1], exact [" in counterexample(ROW_SUM, run)


def test_a_failure_of_two_elements_keeps_both_and_makes_them_plain():
    def spoil(inputs, got):
        return {**got, "total": got["total"] + (1.0 if inputs["x"].shape[1] > 1 else 0.0)}

    assert "D=2 " in counterexample(ROW_SUM, Wrong(ROW_SUM, spoil))
    assert "x=[[0, 0]] gives total=[1], exact [0]" in counterexample(ROW_SUM, Wrong(ROW_SUM, spoil))


def test_a_wrong_gradient_is_shown_with_the_output_gradient_that_it_needs():
    run = Wrong(ROW_SUM, lambda inputs, got: {**got, "dx": 2 * got["dx"]})
    assert "dtotal=[1] gives dx=" in counterexample(ROW_SUM, run)


def test_shrinking_is_bounded_and_large_cases_show_no_numbers():
    folder = TargetFolder(library_path() / "attention")
    run = Wrong(folder, lambda inputs, got: {**got, "out": got["out"] * (1.01 if inputs["q"].shape[1] > 20 else 1.0)})
    text = counterexample(folder, run)
    assert "gives" not in text
    assert run.runs <= 1 + MAXIMUM_RUNS


def test_a_candidate_that_crashes_on_the_way_leaves_what_was_found():
    def spoil(inputs, got):
        if inputs["x"].numel() == 1:
            raise CandidateFailure("CRASH", "died")
        return {**got, "total": got["total"] + 1}

    assert "row_sum float32" in counterexample(ROW_SUM, Wrong(ROW_SUM, spoil))


def test_indices_stay_within_their_range():
    """With one word in the vocabulary, a target of 1 is no simpler one."""
    folder = TargetFolder(library_path() / "softcap_cross_entropy")

    def spoil(inputs, got):
        assert (inputs["targets"] < inputs["logits"].shape[1]).all()
        return {**got, "loss": got["loss"] + 1}

    for _ in range(5):
        assert "V=1:" in counterexample(folder, Wrong(folder, spoil), index=0)


def test_neither_seed_nor_limit_is_shown():
    text = counterexample(ROW_SUM, Wrong(ROW_SUM, lambda inputs, got: {n: t + 1 for n, t in got.items()}))
    assert not any(word in text for word in ("seed", "limit", "margin", "rms"))
    assert torch.initial_seed() not in (int(word) for word in text.split() if word.isdigit())


@pytest.mark.parametrize("target", target_names(library_path()))
def test_chosen_numbers_are_not_drawn_again(target):
    """Their regime is none that inputs.py knows."""
    folder = TargetFolder(library_path() / target)
    drawn = make_case(folder, folder.edges("float32")[-1], "normal", np.random.default_rng(0))
    chosen = Case(drawn.workload, "numbers of the source", drawn.inputs, drawn.output_gradients)
    run = Wrong(folder, lambda inputs, got: {name: value + 1 for name, value in got.items()})
    with pytest.raises(CandidateFailure):
        check_case(folder, chosen, run, Domain())
