"""Embedding look-up, its gradient by binary search, and the token order by counting, in CUDA C.

    order = stable argsort of tokens:  the place of i is the number of j with (tokens_j, j) < (tokens_i, i)
    rows_n = table[tokens_n],    dtable_v = sum over i with tokens[order_i] = v of drows[order_i]

Written from the equations. The order is counted, N^2 comparisons of tokens that a block brings into shared memory
tile by tile: for the few thousand tokens of a micro-step that is less than launching a sort. In the gradient each
thread owns 16 bytes of one row of the table: it finds the row's run in the sorted order and adds it up, in that
order, in float32, with one rounding. An order that is not sorted is found out first; then every thread reads all of
it.
"""

import torch

TUNE = {"THREADS": [256, 128, 512]}

SOURCE = r"""
#include <cuda_bf16.h>
#include <cstdint>

constexpr int WIDTH = 16 / sizeof(scalar_t);

struct __align__(16) Vector { scalar_t at[WIDTH]; };

__device__ __forceinline__ bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

__device__ __forceinline__ Vector load(const scalar_t* from, int count, bool whole) {
    if (whole) return *reinterpret_cast<const Vector*>(from);
    Vector found;
    #pragma unroll
    for (int j = 0; j < WIDTH; j++) found.at[j] = j < count ? from[j] : scalar_t(0.0f);
    return found;
}

__device__ __forceinline__ void store(scalar_t* to, int count, bool whole, const Vector& value) {
    if (whole) {
        *reinterpret_cast<Vector*>(to) = value;
        return;
    }
    #pragma unroll
    for (int j = 0; j < WIDTH; j++)
        if (j < count) to[j] = value.at[j];
}

extern "C" __global__ void __launch_bounds__(THREADS)
count_smaller(const int64_t* __restrict__ tokens, int64_t* __restrict__ order, int N) {
    __shared__ int tile[THREADS];
    const int i = blockIdx.x * THREADS + threadIdx.x;
    const int mine = i < N ? static_cast<int>(tokens[i]) : 0;
    int place = 0;
    for (int start = 0; start < N; start += THREADS) {
        const int j = start + threadIdx.x;
        __syncthreads();  // everybody has read the tile before
        tile[threadIdx.x] = j < N ? static_cast<int>(tokens[j]) : 0;
        __syncthreads();
        const int count = min(THREADS, N - start);
        for (int k = 0; k < count; k++) place += tile[k] < mine || (tile[k] == mine && start + k < i);
    }
    if (i < N) order[place] = i;
}

extern "C" __global__ void __launch_bounds__(THREADS)
look_up(const scalar_t* __restrict__ table, const int64_t* __restrict__ tokens, scalar_t* __restrict__ rows, int64_t N,
        int C) {
    const int pieces = (C + WIDTH - 1) / WIDTH;
    const int64_t index = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (index >= N * pieces) return;
    const int64_t n = index / pieces;
    const int c = static_cast<int>(index % pieces) * WIDTH;
    const bool whole = C % WIDTH == 0 && is_aligned(table) && is_aligned(rows);
    store(rows + n * C + c, C - c, whole, load(table + tokens[n] * C + c, C - c, whole));
}

extern "C" __global__ void __launch_bounds__(THREADS)
find_disorder(const int64_t* __restrict__ tokens, const int64_t* __restrict__ order, int* __restrict__ is_mixed,
              int N) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i + 1 < N && tokens[order[i]] > tokens[order[i + 1]]) atomicExch(is_mixed, 1);
}

extern "C" __global__ void __launch_bounds__(THREADS)
add_runs(const int64_t* __restrict__ tokens, const int64_t* __restrict__ order, const scalar_t* __restrict__ drows,
         const int* __restrict__ is_mixed, scalar_t* __restrict__ dtable, int N, int64_t V, int C) {
    const int pieces = (C + WIDTH - 1) / WIDTH;
    const int64_t index = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (index >= V * pieces) return;
    const int64_t v = index / pieces;
    const int c = static_cast<int>(index % pieces) * WIDTH;
    const bool whole = C % WIDTH == 0 && is_aligned(drows) && is_aligned(dtable), mixed = *is_mixed != 0;
    int low = 0, high = mixed ? 0 : N;  // the first place whose token is not below v
    while (low < high) {
        const int middle = (low + high) / 2;
        if (tokens[order[middle]] < v) low = middle + 1;
        else high = middle;
    }
    float sums[WIDTH];
    #pragma unroll
    for (int j = 0; j < WIDTH; j++) sums[j] = 0.0f;
    for (int i = low; i < N; i++) {
        const int64_t position = order[i];
        if (tokens[position] != v) {
            if (mixed) continue;
            break;
        }
        const Vector now = load(drows + position * C + c, C - c, whole);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) sums[j] += static_cast<float>(now.at[j]);
    }
    Vector total;
    #pragma unroll
    for (int j = 0; j < WIDTH; j++) total.at[j] = scalar_t(sums[j]);
    store(dtable + v * C + c, C - c, whole, total);
}
"""


def blocks(threads):
    return ((threads + THREADS - 1) // THREADS,)


def token_order_forward(tokens, vocab_size):
    N = tokens.numel()
    order = torch.empty_like(tokens)
    launch(SOURCE, "count_smaller", blocks(N), (THREADS,), (tokens, order, N))
    return order


def embedding_forward(table, tokens, order):
    C, N = table.shape[1], tokens.numel()
    rows = torch.empty((N, C), dtype=table.dtype, device=table.device)
    pieces = (C * table.element_size() + 15) // 16
    launch(SOURCE, "look_up", blocks(N * pieces), (THREADS,), (table, tokens, rows, N, C))
    return rows


def embedding_backward(table, tokens, order, rows, drows):
    V, C = table.shape
    N = tokens.numel()
    is_mixed = torch.zeros((1,), dtype=torch.int32, device=tokens.device)
    dtable = torch.empty_like(table)
    pieces = (C * table.element_size() + 15) // 16
    launch(SOURCE, "find_disorder", blocks(N), (THREADS,), (tokens, order, is_mixed, N))
    launch(SOURCE, "add_runs", blocks(V * pieces), (THREADS,), (tokens, order, drows, is_mixed, dtable, N, V, C))
    return dtable
