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
    answer, status = ideas_shares.run("tiny", 1, "float32", None)
    assert (status, read_shares(tmp_path).as_json()) == (0, answer)
    assert all(share > 0 for share in answer["shares"].values())
    assert sum(share for name, share in answer["shares"].items() if name not in SPANS) < 1
    assert answer["targets_ms"]["relu2_mlp"] > answer["targets_ms"]["relu2"]
