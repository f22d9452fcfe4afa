"""What every GPU seed takes of a multiprocessor, compiled ahead for GPUs that need not be here.

    python bench/gpu_ahead.py            compile all seeds at d12's shapes, write bench/results/ahead/DATE.json
    python bench/gpu_ahead.py --table    write the newest of these into docs/gpu.md, between its markers
    python bench/gpu_ahead.py --check    status 1 if docs/gpu.md does not say what that file says

Needs the extras triton and cuda-check. Nothing here is a figure of speed.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernelsearch.build.cuda_ahead import cuda_compiler
from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.build.triton_ahead import triton_version
from kernelsearch.errors import KernelSearchError
from kernelsearch.sandbox.languages import GPU_LANGUAGES, LANGUAGES
from kernelsearch.spec import TargetFolder, library_path, read_candidate, target_names

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gpu.md"
RECORDS = ROOT / "bench" / "results" / "ahead"
BEGIN, END = "<!-- compiled ahead: begin (generated, do not edit) -->", "<!-- compiled ahead: end -->"
GROUP, DTYPE = "d12", "bfloat16"
ONLY = {"muon_step": "float32"}  # its tensors are float32 in either dtype


def compile_seed(target: str, seed: str, language: str, cache_dir: Path) -> dict[str, Any]:
    folder = TargetFolder(library_path() / target)
    dtype = ONLY.get(target, DTYPE)
    named = {"target": target, "seed": seed, "language": language, "dtype": dtype}
    candidate = read_candidate(target, language, folder.seeds(language)[seed], seed)
    ahead = LANGUAGES[language].ahead
    assert ahead is not None
    try:
        found = ahead(folder.target, candidate, folder.workloads(GROUP, dtype), ARCHITECTURES, cache_dir)
    except KernelSearchError as error:
        return {**named, "digest": candidate.digest, "error": str(error)}
    return {**named, "digest": candidate.digest, "kernels": [dataclasses.asdict(k) for k in found or ()]}


def compile_all(jobs: int) -> dict[str, Any]:
    names = [
        (target, seed, language)
        for target in target_names(library_path())
        for language in sorted(GPU_LANGUAGES, reverse=True)
        for seed in TargetFolder(library_path() / target).seeds(language)
    ]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(jobs) as pool:
        rows = list(pool.map(lambda name: compile_seed(*name, Path(scratch)), names))
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "command": "python bench/gpu_ahead.py",
        "commit": commit.stdout.strip(),
        "group": GROUP,
        "architectures": list(ARCHITECTURES),
        "triton": triton_version(),
        "cuda": cuda_compiler(),
        "seeds": rows,
    }


def as_markdown(record: dict[str, Any], date: str) -> str:
    """One row a kernel for the first architecture: the most that any of its launches takes."""
    first = record["architectures"][0]
    rows = record["seeds"]
    kernels = [(row, k) for row in rows for k in row.get("kernels", ())]
    spilling = sorted({f"{row['target']} on sm_{k['architecture']}" for row, k in kernels if k["stack_bytes"]})
    others = ", ".join(f"sm_{number}" for number in sorted(record["architectures"]))
    compiler = record["cuda"][0] if record["cuda"] else "no compiler of CUDA C"
    version = record["cuda"][2] if record["cuda"] else ""
    lines = [
        BEGIN,
        (
            f"{len(rows)} seeds compiled for {others} at {record['group']}'s shapes ({date}, commit "
            f"{record['commit']}, `{record['command']}`, Triton {record['triton']}, {compiler} {version}): "
            f"{sum('error' in row for row in rows)} refused, with a stack: {', '.join(spilling) or 'none'}. "
            f"On sm_{first}, the largest of each kernel's launches:"
        ),
        "",
        "| target | seed | kernel | registers | stack, bytes | shared, bytes | warps | occupancy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    largest: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for row, k in kernels:
        if k["architecture"] == first:
            key = (row["target"], row["language"], row["seed"], k["kernel"])
            if key not in largest or k["occupancy"] < largest[key]["occupancy"]:
                largest[key] = k
    for (target, language, seed, kernel), k in largest.items():
        lines.append(
            f"| {target} | {seed} ({language}) | {kernel} | {k['registers']} | {k['stack_bytes']} "
            f"| {k['shared_bytes']} | {k['warps']} | {k['occupancy']:.0%} |"
        )
    for row in rows:
        if "error" in row:
            said = row["error"].splitlines()[0]
            lines.append(f"| {row['target']} | {row['seed']} ({row['language']}) | refused: {said} | | | | | |")
    return "\n".join([*lines, END])


def page_with(record: dict[str, Any], date: str) -> str:
    text = PAGE.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return before + as_markdown(record, date) + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    if not (asked.table or asked.check):
        record = compile_all(asked.jobs)
        RECORDS.mkdir(parents=True, exist_ok=True)
        path = RECORDS / f"{datetime.now(UTC).date().isoformat()}.json"
        path.write_text(json.dumps(record, indent=1) + "\n")
        sys.stdout.write(f"written: {path}\n")
        return
    newest = max(RECORDS.glob("*.json"))
    page = page_with(json.loads(newest.read_text()), newest.stem)
    if asked.check:
        sys.exit(int(page != PAGE.read_text()))
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
