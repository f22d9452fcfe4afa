"""Append and lookup stay flat as the ledger grows: `pytest bench/test_ledger.py`."""

import os
from pathlib import Path
from unittest import mock

import pytest

from kernelsearch.ledger import Ledger

BODY = {
    "context": "x" * 64,
    "target": "attention",
    "tunables": {"BLOCK_Q": 32, "BLOCK_K": 64},
    "verdict": {"detail": "d" * 300, "gates": [{"name": f"gate{i}", "passed": True, "seconds": 0.5} for i in range(8)]},
}


def filled(path: Path, records: int) -> Ledger:
    ledger = Ledger(path)
    with mock.patch.object(os, "fsync"):  # only while filling: what is timed below flushes to the disk
        for index in range(records):
            ledger.append("trial", {**BODY, "candidate": f"{index}"})
    return ledger


@pytest.mark.parametrize("records", [0, 100, 1000, 10_000])
def test_append(benchmark, tmp_path, records):
    ledger = filled(tmp_path / "ledger.jsonl", records)
    benchmark.pedantic(ledger.append, args=("trial", {**BODY, "candidate": "new"}), rounds=100)


@pytest.mark.parametrize("records", [100, 1000, 10_000])
def test_lookup(benchmark, tmp_path, records):
    ledger = filled(tmp_path / "ledger.jsonl", records)
    assert benchmark(ledger.trials, f"{records // 2}", "x" * 64)


@pytest.mark.parametrize("records", [100, 1000, 10_000])
def test_open(benchmark, tmp_path, records):
    path = filled(tmp_path / "ledger.jsonl", records).path
    benchmark.pedantic(Ledger, args=(path,), rounds=3)
