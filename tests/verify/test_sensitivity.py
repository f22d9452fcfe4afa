"""One changed number: what depends on it moves, the rest keeps its bits, and a NaN shows."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.spec import TargetFolder
from kernelsearch.spec.workload import Workload
from kernelsearch.verify.case import Case
from kernelsearch.verify.oracle import run_baseline
from kernelsearch.verify.run import CandidateFailure
from kernelsearch.verify.sensitivity import check_sensitivity

ROW_SUM = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")


def honest(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
    workload = Workload("x/y", entry, sizes, parameters, "float32")
    return run_baseline(ROW_SUM, Case(workload, "", inputs, output_gradients))


def looked_up():
    """Answers by the first four elements of a row, as a cache of rows would."""
    kept = {}

    def run(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
        got = honest(entry, sizes, parameters, inputs, output_gradients)
        keys = [tuple(row[:4].tolist()) for row in inputs["x"]]
        totals = [kept.setdefault(key, total) for key, total in zip(keys, got["total"], strict=True)]
        return got | {"total": torch.stack(totals)}

    return run


def without_nan(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
    clean = {name: tensor.nan_to_num(0.0) for name, tensor in inputs.items()}
    gradients = {name: tensor.nan_to_num(0.0) for name, tensor in (output_gradients or {}).items()}
    return honest(entry, sizes, parameters, clean, gradients or None)


def test_an_honest_kernel_passes():
    check_sensitivity(ROW_SUM, honest, "float32", np.random.default_rng())


def test_answers_looked_up_by_a_part_of_the_input_are_refused():
    with pytest.raises(CandidateFailure, match="further from the exact result"):
        check_sensitivity(ROW_SUM, looked_up(), "float32", np.random.default_rng(0))


def test_a_nan_that_is_swallowed_is_refused():
    with pytest.raises(CandidateFailure, match="a NaN in x shows in no result"):
        check_sensitivity(ROW_SUM, without_nan, "float32", np.random.default_rng(0))


def test_a_bit_that_moves_elsewhere_is_refused():
    rng = np.random.default_rng(0)

    def leaking(entry, sizes, parameters, inputs, output_gradients=None, *, shift=0):
        got = honest(entry, sizes, parameters, inputs, output_gradients)
        return got | {"total": torch.nextafter(got["total"], got["total"] + inputs["x"].sum())}

    with pytest.raises(CandidateFailure, match="changes where it does not depend"):
        [check_sensitivity(ROW_SUM, leaking, "float32", rng) for _ in range(20)]
