"""Triton seeds: each keeps to the language, compiles for the GPU it is meant for, and is equal in the interpreter."""

import os
from pathlib import Path

import pytest

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.build.resources import ARCHITECTURES
from kernelsearch.build.triton_ahead import compile_ahead
from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.spec import TargetFolder, library_path, read_candidate, target_names, tunable_space

FOLDERS = {name: TargetFolder(library_path() / name) for name in target_names(library_path())}
SEEDS = [(name, seed) for name, folder in FOLDERS.items() for seed in folder.seeds("triton")]
ONLY = {"muon_step": "float32"}  # its tensors are float32 in either dtype


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_a_seed_keeps_to_the_language_and_has_something_to_tune(target, seed):
    source = FOLDERS[target].seeds("triton")[seed]
    candidate = read_candidate(target, "triton", source, seed)
    lint_host(source, "triton", host_functions(FOLDERS[target].target, candidate.declared))
    assert any(len(values) > 1 for values in tunable_space(source).values())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_a_seed_compiles_for_every_architecture_without_spills_at_training_shapes(target, seed, cache_dir):
    pytest.importorskip("triton")
    folder, dtype = FOLDERS[target], ONLY.get(target, "bfloat16")
    candidate = read_candidate(target, "triton", folder.seeds("triton")[seed], seed)
    found = compile_ahead(folder.target, candidate, folder.workloads("d12", dtype), ARCHITECTURES, cache_dir)
    assert {r.architecture for r in found} == set(ARCHITECTURES)
    assert all(r.stack_bytes == 0 for r in found), found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_a_seed_is_equal_in_the_interpreter(target, seed, cache_dir):
    pytest.importorskip("triton")
    folder, dtype = FOLDERS[target], ONLY.get(target, "bfloat16")
    candidate = read_candidate(target, "triton", folder.seeds("triton")[seed], seed)
    threads = min(2, len(os.sched_getaffinity(0)))
    judge = Judge(folder, dtype, folder.workloads("d12", dtype), cache_dir, threads, Care(examples=10, search_s=2.0))
    verdict = judge.prove(candidate)
    assert verdict.passed, verdict
