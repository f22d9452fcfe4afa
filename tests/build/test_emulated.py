"""CUDA's threads on the CPU: what they compute is what a device computes, and waiting in vain has a line."""

import re

import pytest
import torch

from kernelsearch.build.cuda import emulated_text
from kernelsearch.build.emulated import build_emulated, lint_emulated, runtime_library
from kernelsearch.spec import read_candidate
from tests.build.emulation import Emulated

TEXT = r'''
SOURCE = r"""
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define LAST(n) ((n) - 1)
template <typename T> struct Two { T a, b; };
template <typename T> __device__ __forceinline__ T sum_of_warp(T value) {
    #pragma unroll
    for (int bit = 16; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
    return value;
}
template <typename T, int N> __device__ T* tile_of_block() { __shared__ T tile[N]; return tile; }
__device__ Two<int> twice(int a) { return {a, 2 * a}; }
extern "C" {
__global__ void reverse(int* x, int n) {
    extern __shared__ int tile[];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = tile[LAST(n) - threadIdx.x];
}
__global__ void total(const float* x, float* y, int n) {
    __shared__ __align__(16) float of_warps[32], unused[4];
    float mine = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) mine += x[i];
    mine = sum_of_warp(mine);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
        float all = 0.0f;
        for (int w = 0; w < blockDim.x / 32; w++) all += of_warps[w];
        y[blockIdx.x] = all;
    }
}
__global__ void shuffles(int* up, int* down, int* from, int* narrow, unsigned* votes, int* reduced) {
    const int lane = threadIdx.x;
    up[lane] = __shfl_up_sync(0xffffffffu, lane, 3);
    down[lane] = __shfl_down_sync(0xffffffffu, lane, 3);
    from[lane] = __shfl_sync(0xffffffffu, twice(lane).b, lane + 1);
    narrow[lane] = __shfl_down_sync(0xffffffffu, lane, 1, 8);
    votes[lane] = __ballot_sync(0xffffffffu, lane % 3 == 0);
    reduced[lane] = lane < 16 ? __reduce_max_sync(0x0000ffffu, lane) : __reduce_add_sync(0xffff0000u, lane);
}
__global__ void count(unsigned* counts, float* sum, int* largest) {
    atomicAdd(&counts[threadIdx.x % 4], 1u);
    atomicAdd(sum, 0.5f);
    atomicMax(largest, static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x));
}
__global__ void narrow(const float* x, unsigned short* bf16, unsigned short* fp16, float* back) {
    const int i = threadIdx.x;
    bf16[i] = __bfloat16_as_ushort(__float2bfloat16(x[i]));
    fp16[i] = __half_as_ushort(__float2half(x[i]));
    back[i] = __bfloat162float(__float2bfloat16(x[i])) + float(__float2half(x[i]));
}
__global__ void poisoned(float* y) {
    __shared__ float never[32];
    y[threadIdx.x] = never[threadIdx.x] + tile_of_block<float, 8>()[threadIdx.x % 8];
}
__global__ void forgets_the_barrier(const int* x, int* y) {
    __shared__ int tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[63 - threadIdx.x];
}
__global__ void branches(int* x) {
    if (threadIdx.x < 5) __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void two_barriers(int* x) {
    if (threadIdx.x < 5)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void leaves(int* x) {
    if (threadIdx.x == 7) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
__global__ void half_a_warp(int* x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
    __syncthreads();
}
__global__ void absent_lane(int* x) { x[threadIdx.x] = __shfl_sync(0x0000ffffu, x[threadIdx.x], 20); }
__global__ void too_far(int* x, int n) {
    __shared__ int tile[32];
    tile[threadIdx.x + n] = 1;
    __syncthreads();
    x[threadIdx.x] = tile[threadIdx.x];
}
__global__ void too_far_by_pointer(int* x, int n) {
    __shared__ int tile[32];
    int* place = tile;
    place[threadIdx.x + n] = 1;
    __syncthreads();
    x[threadIdx.x] = tile[threadIdx.x];
}
__global__ void misaligned(const float* x, float* y) {
    y[threadIdx.x] = reinterpret_cast<const float4*>(x + 1)[threadIdx.x].y;
}
__global__ void no_memory(int* x) {
    extern __shared__ int tile[];
    x[threadIdx.x] = tile[threadIdx.x];
}
}
"""
'''


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    candidate = read_candidate("none", "cuda", TEXT, "test")
    _, kernels = emulated_text(candidate, "float32")
    lint_emulated(candidate, "float32", cache)
    artifact = build_emulated(candidate, "float32", cache).path
    return Emulated(runtime_library(cache), artifact, {kernel.name: kernel.symbol for kernel in kernels})


def test_a_block_passes_numbers_through_shared_memory(emulated):
    found = emulated.run("reverse", ["int32", list(range(96))], 96, block=96, shared_bytes=4 * 96)
    assert found.arrays == [list(range(95, -1, -1))], found.text


def test_warps_and_blocks_add_up(emulated):
    found = emulated.run("total", ["float32", [1.0] * 1000], ["float32", [0.0] * 9], 1000, grid=9, block=128)
    assert found.arrays[1] == [1000.0] * 9, found.text


def test_shuffles_votes_and_reductions_are_those_of_the_programming_guide(emulated):
    found = emulated.run(
        "shuffles", *(["int32", [0] * 32] for _ in range(4)), ["uint32", [0] * 32], ["int32", [0] * 32]
    )
    up, down, source, narrow, votes, reduced = found.arrays
    assert up == [0, 1, 2, *range(29)]
    assert down == [*range(3, 32), 29, 30, 31]
    assert source == [2 * (lane + 1) % 64 for lane in range(32)]
    assert narrow == [lane if lane % 8 == 7 else lane + 1 for lane in range(32)]
    assert votes == [sum(1 << lane for lane in range(0, 32, 3))] * 32
    assert reduced == [15] * 16 + [sum(range(16, 32))] * 16


def test_atomics_lose_nothing_across_blocks(emulated):
    arrays = ["uint32", [0] * 4], ["float32", [0.0]], ["int32", [-1]]
    assert emulated.run("count", *arrays, grid=50, block=64).arrays == [[800] * 4, [1600.0], [3199]]


def test_narrow_numbers_are_rounded_as_torch_rounds_them(emulated):
    values = torch.tensor([0.0, -1.0, 1.00390625, 1.01171875, 65519.9, 65520.0, 6.1e-5, 5.9e-8, 3e-8, 3.0e38, -0.3])
    many = torch.cat([values, torch.linspace(-9, 9, 53).exp() * torch.tensor([1.0, -1.0]).repeat(27)[:53]])
    empty = ["uint16", [0] * 64]
    found = emulated.run("narrow", ["float32", many.tolist()], empty, empty, ["float32", [0.0] * 64], block=64)
    bf16, fp16 = many.bfloat16(), many.half()
    assert found.arrays[1] == (bf16.view(torch.int16).int() & 0xFFFF).tolist()
    assert found.arrays[2] == (fp16.view(torch.int16).int() & 0xFFFF).tolist()
    assert found.arrays[3] == (bf16.float() + fp16.float()).tolist()


def test_shared_memory_begins_as_nan(emulated):
    (found,) = emulated.run("poisoned", ["float32", [0.0] * 32]).arrays
    assert all(value != value for value in found)


def test_a_missing_barrier_shows_in_one_of_a_few_launches(emulated):
    wanted = list(range(63, -1, -1))
    runs = [emulated.run("forgets_the_barrier", ["int32", list(range(64))], ["int32", [0] * 64], block=64)]
    assert runs[0].arrays[1] != wanted


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ("branches", "waits at a barrier that other threads of its block have left for good"),
        ("two_barriers", "wait at different barriers"),
        ("leaves", "no thread may return before the last barrier"),
        ("half_a_warp", "waits for lanes of its warp that never come"),
        ("absent_lane", "shuffles from a lane that takes no part|does not name the lane"),
        ("no_memory", "launch with shared_bytes"),
    ],
)
def test_who_waits_in_vain_is_named_with_its_line(emulated, kernel, text):
    failed = emulated.run(kernel, ["int32", [0] * 32])
    line = int(re.match(r"line (\d+): ", failed.text)[1])
    assert re.search(text, failed.text), failed.text
    assert re.search(rf"void {kernel}\b", "\n".join(TEXT.splitlines()[line - 8 : line]))


@pytest.mark.parametrize("kernel", ["too_far", "too_far_by_pointer"])
def test_a_step_beyond_a_shared_array_is_found(emulated, kernel):
    failed = emulated.run(kernel, ["int32", [0] * 32], 1)
    assert re.search("beyond (the bounds of its|this __shared__) array", failed.text), failed.text


def test_a_vector_at_an_address_that_does_not_suit_it_is_found(emulated):
    failed = emulated.run("misaligned", ["float32", [0.0] * 132], ["float32", [0.0] * 32])
    assert "not aligned" in failed.text
