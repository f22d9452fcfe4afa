"""One seed before the GPU judge, as one JSON document: python bench/gpu_judge.py TARGET SEED [--no-timing]."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from kernelsearch.sandbox.gpu.judge import IN_FIRST_LAUNCHER, GpuJudge
from kernelsearch.sandbox.judge import Care
from kernelsearch.spec import TargetFolder, library_path, read_candidate
from kernelsearch.timing.clock import Effort

PROOF = IN_FIRST_LAUNCHER | {"sanitizer", "controls"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("seed")
    parser.add_argument("--language", default="triton")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--group", default="d12")
    parser.add_argument("--place", default="cuda")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--only-timing", action="store_true", help="after a run without timing has passed")
    parser.add_argument("--only-sanitizer", action="store_true")
    parser.add_argument("--cache", type=Path, help="where what was compiled ahead is kept; default nowhere")
    asked = parser.parse_args()
    folder = TargetFolder(library_path() / asked.target)
    candidate = read_candidate(
        asked.target, asked.language, folder.seeds(asked.language)[asked.seed], f"{asked.seed}.py"
    )
    without: frozenset[str] = frozenset()
    if asked.no_timing:  # and no sanitizer, which is slow
        without = frozenset({"timing", "sanitizer"})
    elif asked.only_timing:
        without = PROOF
    elif asked.only_sanitizer:
        without = (PROOF | {"timing"}) - {"sanitizer"}
    care = Care(examples=10, search_s=2.0, effort=Effort(seconds=1.0))
    with tempfile.TemporaryDirectory() as scratch:
        judge = GpuJudge(
            folder,
            asked.dtype,
            folder.workloads(asked.group, asked.dtype),
            asked.cache or Path(scratch),
            asked.place,
            care,
            without,
        )
        sys.stdout.write(json.dumps(judge.judge(candidate).as_json()) + "\n")


if __name__ == "__main__":
    main()
