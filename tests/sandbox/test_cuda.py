"""CUDA C before the judge, without a GPU: right kernels pass and are never accepted, wrong ones end as they deserve."""

from dataclasses import replace

import pytest

from kernelsearch.build import cuda_ahead
from kernelsearch.sandbox.languages import LANGUAGES
from kernelsearch.spec import read_candidate
from kernelsearch.spec.library import find_target, library_path, target_names

RIGHT = '''"""Scaled sums of rows, a warp a row."""
import torch

TUNE = {"THREADS": [32, 64]}
SOURCE = r"""
extern "C" __global__ void row_sums(const scalar_t* x, scalar_t* total, int K, float scale) {
    __shared__ float part[THREADS];
    float sum = 0.0f;
    for (int k = threadIdx.x; k < K; k += THREADS) sum += scale * float(x[static_cast<int64_t>(blockIdx.x) * K + k]);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int step = THREADS / 2; step > 0; step /= 2) {
        if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) total[blockIdx.x] = scalar_t(part[0]);
}
extern "C" __global__ void spread(const scalar_t* dtotal, scalar_t* dx, int K, float scale) {
    for (int k = threadIdx.x; k < K; k += THREADS)
        dx[static_cast<int64_t>(blockIdx.x) * K + k] = scalar_t(scale * float(dtotal[blockIdx.x]));
}
"""


def row_sum_forward(x, scale):
    N, K = x.shape
    total = torch.empty((N,), dtype=x.dtype, device=x.device)
    launch(SOURCE, "row_sums", (N,), (THREADS,), (x, total, K, scale))
    return total


def row_sum_backward(x, total, dtotal, scale):
    N, K = x.shape
    dx = torch.empty_like(x)
    launch(SOURCE, "spread", (N,), (THREADS,), (dtotal, dx, K, scale))
    return dx
'''


def changed(old: str, new: str) -> str:
    assert old in RIGHT
    return RIGHT.replace(old, new, 1)


STEP = "        __syncthreads();\n    }\n"
WRONG = {
    "another number": (changed("scale * float(d", "2.0f * scale * float(d"), {"GRADIENT"}, ""),
    "without the barrier in the loop": (changed(STEP, "    }\n"), {"MISMATCH", "DETERMINISM"}, ""),
    "a barrier in a branch": (
        changed(STEP, "        if (threadIdx.x < step) __syncthreads();\n    }\n"),
        {"CRASH"},
        "line 14: ",
    ),
    "beyond a tensor": (changed("k < K; k += THREADS) sum", "k <= K; k += THREADS) sum"), {"CRASH", "MISMATCH"}, ""),
    "an unwritten output": (changed("if (threadIdx.x == 0) total", "if (threadIdx.x == 99) total"), {"MISMATCH"}, ""),
    "a sum in the order of arrival": (
        changed("part[threadIdx.x] = sum;", "part[threadIdx.x] = 0.0f; __syncthreads(); atomicAdd(part, sum);"),
        {"DETERMINISM", "PROPERTY"},  # whichever asks twice first
        "",
    ),
    "an input that is written": (
        changed("const scalar_t* x, scalar_t*", "scalar_t* x, scalar_t*").replace(
            "float sum = 0.0f;", "float sum = 0.0f; x[0] = 1.0f;"
        ),
        {"CRASH", "MISMATCH"},
        "writes to its input x",
    ),
    "another dtype than the kernel's": (
        changed("dtype=x.dtype", "dtype=torch.float64"),
        {"CRASH"},
        "takes a pointer to float32",
    ),
    "too many threads": (changed("(N,), (THREADS,), (x", "(N,), (64 * THREADS,), (x"), {"CRASH", "BUILD"}, ""),
    "no C++": (changed("float sum = 0.0f;", "float sum = ;"), {"BUILD"}, ""),
    "tensor cores": (changed("float sum = 0.0f;", "float sum = 0.0f; wmma(1);"), {"LINT"}, "cannot be emulated"),
    "a C++ name": (changed('extern "C" __global__ void spread', "__global__ void spread"), {"LINT"}, 'extern "C"'),
}  # fmt: skip


@pytest.fixture
def cuda():
    return lambda text: read_candidate("row_sum", "cuda", text, "test")


@pytest.fixture
def without_compiler(monkeypatch):
    """As where neither NVRTC nor nvcc is installed: faster, and the emulation alone must find what is wrong."""
    monkeypatch.setattr(cuda_ahead, "cuda_compiler", lambda: None)


def test_right_cuda_is_equal_and_never_accepted(judge, cuda, without_compiler):
    verdict = judge.judge(cuda(RIGHT))
    assert verdict.passed and not verdict.accepted and not verdict.measurements, verdict
    assert "emulated, not timed" in verdict.detail and not verdict.resources


@pytest.mark.slow
def test_right_cuda_passes_in_bfloat16(judge, folder, cuda):
    narrow = replace(judge, dtype="bfloat16", workloads=folder.workloads("tiny", "bfloat16"))
    verdict = narrow.prove(cuda(RIGHT))
    assert verdict.passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_wrong_cuda_ends_in_the_verdict_it_earns(judge, cuda, without_compiler, name):
    source, statuses, text = WRONG[name]
    verdict = judge.prove(cuda(source))
    assert verdict.status in statuses and text in f"{verdict.detail} {verdict.counterexample}", verdict


SEEDS = [
    (target, name, dtype)
    for target in target_names(library_path())
    for name in find_target(target, library_path()).seeds("cuda")
    for dtype in ("float32", "bfloat16")
]


@pytest.mark.slow
@pytest.mark.parametrize(("target", "name", "dtype"), SEEDS)
def test_every_cuda_seed_is_equal_in_the_emulation(judge, target, name, dtype):
    folder = find_target(target, library_path())
    seeds = replace(judge, folder=folder, dtype=dtype, workloads=folder.workloads("tiny", dtype))
    verdict = seeds.prove(read_candidate(target, "cuda", folder.seeds("cuda")[name], name))
    assert verdict.passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize(("target", "name", "dtype"), SEEDS)
def test_every_cuda_seed_compiles_for_every_architecture_without_spilling(tmp_path, target, name, dtype):
    if cuda_ahead.cuda_compiler() is None:
        pytest.skip(f"no compiler of CUDA C: {cuda_ahead.NEEDED}")
    folder = find_target(target, library_path())
    candidate = read_candidate(target, "cuda", folder.seeds("cuda")[name], name)
    found = LANGUAGES["cuda"].ahead(folder.target, candidate, folder.workloads("d12", dtype), (90, 80, 100), tmp_path)
    assert {kernel.architecture for kernel in found} == {90, 80, 100}
    assert all(kernel.stack_bytes == 0 for kernel in found)
