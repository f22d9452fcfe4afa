"""Shares of a training step, measured in one."""

import pytest

from kernelsearch.cli import ideas_shares
from kernelsearch.ideas.gain import read_shares

SPANS = {"relu2_mlp", "linear_softcap_cross_entropy"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shares_are_measured_kept_and_add_up_to_no_more_than_a_step(tmp_path, monkeypatch):
    pytest.importorskip("rustbpe")
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    answer, status = ideas_shares.run("tiny", 2, "float32", None)
    kept = read_shares(tmp_path)
    assert (status, kept.step_ms) == (0, answer["step_us"] / 1000)
    assert all(target["us"] > 0 for target in answer["targets"].values())
    assert sum(target["share"] for name, target in answer["targets"].items() if name not in SPANS) < 1
    assert kept.targets_ms["relu2_mlp"] > kept.targets_ms["relu2"]
