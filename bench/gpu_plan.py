"""What bench/gpu_evidence.py would do, and what this machine lacks for it: everything that shows without a GPU."""

import argparse
import importlib.util
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.errors import KernelSearchError
from kernelsearch.spec import TargetFolder, library_path, read_candidate

Seed = tuple[str, str, str]  # target, seed, language

# What each part imports or starts; a part without its needs fails, the others do not.
MODULES = {
    "all": ("torch", "numpy", "hypothesis", "rich", "typer", "sympy", "triton"),
    "tests": ("pytest",),
    "race": ("pyarrow", "rustbpe", "tiktoken"),
}
PROGRAMS = {"all": ("nvidia-smi", "gcc"), "race": ("g++",), "sanitizer": ("compute-sanitizer",)}


def plan(asked: argparse.Namespace, steps: dict[str, str], seeds: list[Seed]) -> int:
    """Says the steps and the seeds, and what is missing here for them; 0 if nothing is but the GPU, else 1."""
    parts = ("all", *steps)
    missing = [f"module {name}" for part in parts for name in MODULES.get(part, ()) if not has_module(name)]
    missing += [f"program {name}" for part in parts for name in PROGRAMS.get(part, ()) if shutil.which(name) is None]
    if any(language == "cuda" for _, _, language in seeds) and not has_module("cupy"):
        missing.append("module cupy")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("Python.h, with which Triton compiles what launches a kernel")
    problems = [text for seed in seeds for text in check_seed(asked, *seed)]
    lines = [f"{name}: {step}" for name, step in steps.items()]
    lines += [f"  {language} {target}/{seed}" for target, seed, language in seeds]
    lines += [f"into {asked.out}", *(f"missing here: {text}" for text in missing)]
    lines += [f"would fail: {text}" for text in problems]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if missing or problems else 0


def check_seed(asked: argparse.Namespace, target: str, seed: str, language: str) -> Iterator[str]:
    """What can be seen to be wrong with a seed's judgement and benchmark before either starts."""
    folder = TargetFolder(library_path() / target)
    try:
        source = folder.seeds(language)[seed]
        lint_host(
            source, language, host_functions(folder.target, read_candidate(target, language, source, seed).declared)
        )
        folder.workloads(asked.group, asked.dtype)
    except KernelSearchError as error:
        yield f"{language} {target}/{seed}: {error}"


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
