"""What a trainer in another process builds from a JSON argument."""

import shutil
from collections.abc import Callable

import pytest
import torch

from kernelsearch.dispatch.factory import promoted
from kernelsearch.dispatch.store import Store
from kernelsearch.errors import UsageError
from tests.dispatch.sample import FOLDER, make_accepted

Build = Callable[..., tuple[dict, Callable[[], dict]]]


@pytest.fixture
def build(store: Store) -> Build:
    """Call the factory on a library that holds the small target, and on a store with one kernel, not promoted."""
    shutil.copytree(FOLDER.path, store.library / "blend")
    store.add(make_accepted(fingerprint={"compiler": "g++ 4"}))
    argument = {"state_dir": str(store.state_dir), "library": str(store.library), "dtype": "float32"}
    return lambda **fields: promoted({**argument, **fields})


def test_accepted_kernels_run_without_being_judged_again(build: Build):
    ops, report = build(which="accepted")
    ops["nudge"](torch.ones(5), torch.ones(5), torch.zeros(5), step=1, lr=1.0)
    assert report()["kernels"]["nudge"]["launches"] == {"forward": 1, "backward": 0}


@pytest.mark.parametrize("fields", [{"which": "promoted"}, {"which": "none"}, {"which": "accepted", "digests": ["0"]}])
def test_kernels_not_asked_for_leave_the_baseline(build: Build, fields: dict):
    ops, report = build(**fields)
    assert ops == {} and report()["baseline"] == ["blend", "nudge"]


def test_listed_kernels_run(build: Build):
    assert sorted(build(which="accepted", digests=[make_accepted().digest])[0]) == ["blend", "nudge"]


def test_promoted_kernels_run(build: Build, store: Store):
    store.set_promoted(make_accepted(), is_promoted=True)
    assert sorted(build(which="promoted")[0]) == ["blend", "nudge"]


def test_an_unknown_choice_is_refused(build: Build):
    with pytest.raises(UsageError, match="which='fastest'"):
        build(which="fastest")


def test_a_rate_of_shadow_mode_reaches_the_kernels(build: Build):
    ops, report = build(which="accepted", shadow=1.0)
    ops["nudge"](torch.ones(5), torch.ones(5), torch.zeros(5), step=1, lr=1.0)
    assert report()["kernels"]["nudge"]["shadow"]["checks"] == 1
