"""Every seed of every target is equal to its oracle, in both dtypes, at the defaults of its tunables.

By default bfloat16 is tried with the first seed of a target; with the others it is marked slow.
"""

import numpy as np
import pytest
import torch

from kernelsearch.build import cpp
from kernelsearch.build.abi import functions
from kernelsearch.build.lint import lint_artifact
from kernelsearch.sandbox.execution import Execution
from kernelsearch.spec import TargetFolder, library_path, read_candidate, target_names, tunable_space
from kernelsearch.verify import gates

FOLDERS = {name: TargetFolder(library_path() / name) for name in target_names(library_path())}
SEEDS = [
    pytest.param(name, seed, dtype, marks=[pytest.mark.slow] if number and dtype == "bfloat16" else [])
    for name, folder in FOLDERS.items()
    for number, seed in enumerate(folder.seeds("cpp"))
    for dtype in ("float32", "bfloat16")
]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read_seed(target: str, seed: str):
    return read_candidate(target, "cpp", FOLDERS[target].seeds("cpp")[seed], seed)


@pytest.mark.parametrize(("target", "seed", "dtype"), SEEDS)
def test_a_seed_passes_the_gates_at_small_shapes(target, seed, dtype, cache_dir):
    folder, candidate, rng = FOLDERS[target], read_seed(target, seed), np.random.default_rng()
    lint_artifact(
        cpp.build(folder.target, candidate, dtype, cache_dir).path,
        [f.symbol for f in functions(folder.target, candidate.declared)],
    )
    with Execution(
        folder.target, candidate, dtype, region_bytes=48 << 20, cache_dir=cache_dir, threads=2, rng=rng
    ) as run:
        gates.smoke(folder, run, dtype, rng, gates.Domain())
        gates.properties(folder, run, dtype, rng)
        gates.ladder(folder, run, dtype, rng, gates.Domain())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("target", FOLDERS)
def test_zeros_constants_and_stale_results_are_refused(target, dtype):
    gates.negative_controls(FOLDERS[target], dtype, np.random.default_rng())


@pytest.mark.parametrize("target", FOLDERS)
def test_a_target_has_two_seeds_with_tunables(target):
    seeds = [read_seed(target, seed) for seed in FOLDERS[target].seeds("cpp")]
    assert len(seeds) >= 2
    assert all(seed.tunables for seed in seeds)


@pytest.mark.parametrize("target", FOLDERS)
def test_a_seed_writes_past_the_caches_only_what_they_would_not_keep(target):
    """The judge's clock would reward it for less, and the reader of the result would pay (docs/judge.md)."""
    spaces = [tunable_space(source) for source in FOLDERS[target].seeds("cpp").values()]
    assert all(mib >= 16 for space in spaces for mib in space.get("STREAM_MIB", ()))
