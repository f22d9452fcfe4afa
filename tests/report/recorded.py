"""Recorded results as the commands write them, small, and a folder to keep them in."""

import json
from pathlib import Path

SIDE = {"seconds": 10.0, "steps": 2, "tokens": 64, "tokens_per_second": 6.4, "val_bpb": 1.9, "peak_bytes": 2**20}
CURVE = {"loss": [2.0, 1.5], "step_seconds": [1.0, 1.0]}
RACE = {
    "config": "tiny",
    "target_bpb": 1.9,
    "baseline": SIDE,
    "promoted": SIDE,
    "speedup": 1.5,
    "low": 1.4,
    "high": 1.6,
    "equality": "bitwise",
    "max_loss_gap": 0.0,
    "curves": {"baseline": CURVE, "promoted": CURVE},
}
ROW = {
    "target": "attention",
    "workload": "tiny/full",
    "dtype": "float32",
    "pass": "forward",
    "kernel": "abc",
    "us": {"kernel": 10.0, "eager": 20.0, "compile": 9.0},
    "speed_of_light": 0.5,
    "vs": {
        "eager": {"speedup": 2.0, "low": 1.9, "high": 2.1},
        "compile": {"speedup": 0.9, "low": 0.8, "high": 1.0},
    },
}
MODE = {"step_s": 0.2, "tokens_per_second": 6400, "peak_bytes": 2**20, "speedup": 1.3, "low": 1.2, "high": 1.4}
STEP = {"config": "tiny", "fastest": "kernels", "modes": [{"name": "eager", **MODE}, {"name": "kernels", **MODE}]}
CARD = {
    "environment": {"harness": "f" * 64},
    "mutants": {"accepted": 0, "total": 200, "upper95": 0.015},
    "honest": {"accepted": 9, "total": 9},
    "flakes": {"count": 0, "verdicts": 50},
}
RESULTS = {"race-tiny": RACE, "step-tiny": STEP, "bench-tiny": {"results": [ROW]}, "scorecard": CARD}


def record(folder: Path, name: str, body: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"2026-01-02-{name}.json").write_text(json.dumps(body))
    return folder
