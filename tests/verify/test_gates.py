"""The judge's own controls: a target that cannot tell right from wrong is our fault, and said."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.errors import Infrastructure
from kernelsearch.spec import TargetFolder
from kernelsearch.verify.check import Domain
from kernelsearch.verify.gates import negative_controls

ROW_SUM = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")


def test_the_controls_are_refused_by_an_honest_target():
    negative_controls(ROW_SUM, "float32", np.random.default_rng())


def test_magnitudes_that_forgive_everything_are_an_infrastructure_error(monkeypatch):
    reference = ROW_SUM.module("reference")
    honest = reference.row_sum_magnitudes

    def generous(*arguments):
        return {name: 1e9 * value for name, value in honest(*arguments).items()}

    monkeypatch.setattr(reference, "row_sum_magnitudes", generous)
    with pytest.raises(Infrastructure, match="all zeros"):
        negative_controls(ROW_SUM, "float32", np.random.default_rng())


def test_a_draw_whose_right_answer_is_zero_does_not_blame_the_target(monkeypatch):
    inputs = ROW_SUM.module("inputs")
    honest, draws = inputs.make, []

    def sometimes_zero(*arguments):
        draws.append(1)
        values = honest(*arguments)
        return {name: 0 * value for name, value in values.items()} if len(draws) == 1 else values

    monkeypatch.setattr(inputs, "make", sometimes_zero)
    monkeypatch.setattr(
        inputs,
        "make_output_gradients",
        lambda entry, sizes, regime, rng: {"dtotal": rng.standard_normal(sizes["N"]) * (len(draws) > 1)},
    )
    negative_controls(ROW_SUM, "float32", np.random.default_rng())


def test_one_differing_bit_ends_bitwise_equivalence():
    domain, result = Domain({"row_sum": {"N": (1, 2)}}), torch.ones(3)
    domain.observe({"y": result.clone()}, {"y": result})
    assert domain.equivalence == "bitwise"
    domain.observe({"y": torch.nextafter(result, 2 * result)}, {"y": result})
    domain.observe({"y": result.clone()}, {"y": result})
    assert domain.equivalence == "within the declared precision policy"
