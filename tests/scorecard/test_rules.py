"""The public rules on planted answers, and the inputs they are asked on."""

import pytest
import torch

from kernelsearch.scorecard.rules import judge_by_rules, power_of_two_workloads
from kernelsearch.spec import TargetFolder, library_path, target_names

EXACT = torch.linspace(-4, 4, 257, dtype=torch.float64) / 3
BASELINE = EXACT.float()


def judged(y: torch.Tensor) -> dict[str, bool]:
    return judge_by_rules({"y": y}, {"y": BASELINE}, {"y": EXACT})


def test_the_baseline_passes_its_own_rules():
    assert all(judged(BASELINE.clone()).values())


def test_half_a_percent_passes_the_loose_rule_alone():
    assert judged(BASELINE * 1.005) == {"allclose-1e-2": True, "allclose-1e-4": False, "flash-2x": False}


def test_bfloat16_rounding_passes_the_loose_rule_alone():
    assert judged(BASELINE.bfloat16().float()) == {"allclose-1e-2": True, "allclose-1e-4": False, "flash-2x": False}


def test_an_error_below_the_rounding_of_the_largest_passes_all():
    y = BASELINE.clone()
    y[128] += 1e-7
    assert all(judged(y).values())


def test_one_wrong_tensor_of_two_is_refused():
    got = {"y": BASELINE, "dx": BASELINE + 1}
    assert not any(judge_by_rules(got, {"y": BASELINE, "dx": BASELINE}, {"y": EXACT, "dx": EXACT}).values())


def test_nan_is_refused():
    y = BASELINE.clone()
    y[0] = float("nan")
    assert not any(judged(y).values())


@pytest.mark.parametrize("target", target_names(library_path()))
def test_every_entry_is_asked_on_powers_of_two(target):
    folder = TargetFolder(library_path() / target)
    workloads = list(power_of_two_workloads(folder, "float32"))
    assert {w.entry for w in workloads} == {e.name for e in folder.target.entries}
    assert all(size & (size - 1) == 0 and size <= 256 for w in workloads for size in w.sizes.values())
