"""The baselines that kernels are timed against and fall back to are what nanochat itself runs, bit for bit."""

import numpy as np
import pytest
import torch

import nanochat.ops as eager
from kernelsearch.spec import TargetFolder, library_path, target_names
from kernelsearch.verify.case import make_case

ENTRIES = [
    (name, entry.name)
    for name in target_names(library_path())
    for entry in TargetFolder(library_path() / name).target.entries
]


def call(function, folder, workload):
    """Results and updated inputs of one call on the workload's contract tensors."""
    case = make_case(folder, workload, "normal", np.random.default_rng(0))
    entry = folder.target.entry(workload.entry)
    inputs = [case.inputs[t.name].clone() for t in entry.inputs]
    returned = function(*inputs, **dict(workload.parameters))
    results = returned if isinstance(returned, tuple) else (returned,)
    return [*inputs, *(r for r in results if r is not None)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("target", "entry"), ENTRIES)
def test_a_baseline_is_the_eager_op(target, entry, dtype):
    folder = TargetFolder(library_path() / target)
    workload = [w for w in folder.edges(dtype) if w.entry == entry][-1]
    ours = call(getattr(folder.module("baseline"), entry), folder, workload)
    theirs = call(getattr(eager, entry), folder, workload)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("target", "entry"), ENTRIES)
def test_every_entry_is_a_field_of_ops(target, entry):
    assert hasattr(eager.Ops(), entry)
