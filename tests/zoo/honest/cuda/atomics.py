# honest: atomics, shared memory and barriers
"""Scaled sums of rows in CUDA C, one thread a row."""

import torch

SOURCE = r"""
__global__ void sum_rows(const float* x, float* total, long long N, long long D, float scale) {
    __shared__ float stream;
    const long long n = blockIdx.x;
    if (threadIdx.x == 0) stream = 0;
    __syncthreads();
    for (long long d = threadIdx.x; d < D; d += 256) atomicAdd(&stream, x[n * D + d]);
    __syncthreads();
    if (threadIdx.x == 0) total[n] = scale * stream;
}

__global__ void spread_rows(const float* dtotal, float* dx, long long N, long long D, float scale) {
    const long long n = blockIdx.x * 256LL + threadIdx.x;
    if (n >= N) return;
    for (long long d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
"""


def row_sum_forward(x, scale):
    total = torch.empty((x.shape[0],), device=x.device, dtype=x.dtype)
    launch(SOURCE, "sum_rows", (x.shape[0],), (256,), (x, total, x.shape[0], x.shape[1], scale))
    return total


def row_sum_backward(x, total, dtotal, scale):
    dx = torch.empty_like(x)
    launch(SOURCE, "spread_rows", ((x.shape[0] + 255) // 256,), (256,), (dtotal, dx, x.shape[0], x.shape[1], scale))
    return dx
