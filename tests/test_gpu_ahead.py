"""docs/gpu.md's table of compiled kernels says what the newest record says."""

import json
from pathlib import Path

from bench.gpu_ahead import PAGE, RECORDS, as_markdown, page_with


def newest() -> Path:
    return max(RECORDS.glob("*.json"))


def test_the_page_says_what_the_record_says():
    assert page_with(json.loads(newest().read_text()), newest().stem) == PAGE.read_text()


def test_a_refused_seed_and_a_stack_are_in_the_table():
    kernel = {"kernel": "f", "architecture": 90, "registers": 255, "stack_bytes": 96, "shared_bytes": 0, "warps": 8}
    named = {"target": "t", "language": "triton"}
    rows = [
        named | {"seed": "a", "kernels": [kernel | {"occupancy": 0.125}]},
        named | {"seed": "b", "error": "no\nmore"},
    ]
    record = {"architectures": [90], "seeds": rows, "cuda": None, "triton": "3", "group": "d12", "commit": "c"}
    said = as_markdown(record | {"command": "x"}, "2026-11-24")
    assert "1 refused, with a stack: t on sm_90." in said
    assert "| t | a (triton) | f | 255 | 96 | 0 | 8 | 12% |" in said and "| t | b (triton) | refused: no |" in said
