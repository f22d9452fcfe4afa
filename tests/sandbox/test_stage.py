"""The shared memory of a timed meeting: nothing in it recurs, nothing in it can be touched unseen."""

import mmap
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kernelsearch.sandbox.stage import Stage


@pytest.fixture
def stage(folder) -> Stage:
    made = Stage(folder, folder.workloads("tiny", "float32")[0], (), np.random.default_rng(0))
    made.attach(SimpleNamespace(inputs=mmap.mmap(-1, made.region_bytes), outputs=mmap.mmap(-1, made.region_bytes)))
    return made


def test_no_row_of_a_slot_ever_comes_back(stage):
    stage.refresh([0])
    before = stage.slots[0]["x"].clone()
    stage.refresh([0])
    rows = {tuple(row[:4].tolist()) for row in before}
    assert not rows & {tuple(row[:4].tolist()) for row in stage.slots[0]["x"]}


def test_output_gradients_are_hidden_until_they_are_revealed(stage):
    stage.refresh([0])
    assert stage.slots[0]["dtotal"].isnan().all()
    stage.reveal([0])
    assert stage.slots[0]["dtotal"].isfinite().all()


def test_outputs_are_poisoned_before_a_window(stage):
    stage.slots[0]["total"].zero_()
    stage.refresh([0])
    assert stage.slots[0]["total"].isnan().all()


def test_what_earlier_windows_left_is_poisoned_too(stage):
    stage.refresh([1])
    stage.slots[1]["total"].zero_()
    stage.refresh([0])
    assert stage.find_trespass([0]) is None


def test_results_of_a_call_that_was_not_made_are_noticed(stage):
    stage.refresh([0])
    stage.slots[1]["total"][3] = 1.0
    assert "call that was not made" in stage.find_trespass([0])


def test_a_byte_behind_the_last_output_is_noticed(stage):
    stage.refresh([0])
    stage._outputs[-1] ^= 1
    assert "outside" in stage.find_trespass([0])


def test_windows_use_at_most_half_of_the_slots_in_random_order(stage):
    assert 2 * stage.most_calls <= len(stage.layouts)
    assert stage.draw(stage.most_calls) != stage.draw(stage.most_calls)


def test_zeros_stay_zeros(stage):
    sink = torch.ones(4)
    stage._vary_into(sink, torch.zeros(4), 0.3, 7)
    assert torch.equal(sink, torch.zeros(4))
