"""Mix and RMS norm in CUDA C: a warp a row, 16 bytes a load, nothing saved.

    mixed = resid x + skip x0,  normed = mixed r,  r = 1 / sqrt(mean(mixed^2) + 2^-23)
    dm = dmixed + r (dn - n mean(dn n)),  dx = resid dm,  dx0 = skip dm,  dresid = sum dm x,  dskip = sum dm x0

Written from the equations in target.py. A row is read twice, the second time from the cache: once for its sums, once
for its results. The backward makes the mix again from x and x0, which it reads for the weights' gradients anyway;
those are one number a row, added on the host's behalf in a fixed order. Interiors float32, one rounding each. Which
lane adds which elements depends on C alone; a row that is not aligned to 16 bytes is read element by element.
"""

import torch

TUNE = {"WARPS": [4, 1, 2, 8], "UNROLL": [2, 1, 4]}

SOURCE = r"""
#include <cuda_bf16.h>
#include <cstdint>

constexpr int WIDTH = 16 / sizeof(scalar_t), STEPS = UNROLL;
constexpr float EPSILON = 1.1920928955078125e-07f;

struct __align__(16) Vector { scalar_t at[WIDTH]; };

__device__ __forceinline__ bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

__device__ __forceinline__ Vector load(const scalar_t* row, int start, int C) {
    if (start + WIDTH <= C && is_aligned(row)) return *reinterpret_cast<const Vector*>(row + start);
    Vector found;
    #pragma unroll
    for (int j = 0; j < WIDTH; j++) found.at[j] = start + j < C ? row[start + j] : scalar_t(0.0f);
    return found;
}

__device__ __forceinline__ void store(scalar_t* row, int start, int C, const Vector& value) {
    if (start + WIDTH <= C && is_aligned(row)) {
        *reinterpret_cast<Vector*>(row + start) = value;
        return;
    }
    #pragma unroll
    for (int j = 0; j < WIDTH; j++)
        if (start + j < C) row[start + j] = value.at[j];
}

__device__ __forceinline__ float sum_of_warp(float value) {
    #pragma unroll
    for (int bit = 16; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
    return value;
}

__device__ __forceinline__ float inverse_length(float squares, int C) {
    return 1.0f / sqrtf(squares / static_cast<float>(C) + EPSILON);
}

__device__ __forceinline__ float mix(float resid, scalar_t x, float skip, scalar_t x0) {
    return resid * static_cast<float>(x) + skip * static_cast<float>(x0);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
mix_forward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ x0, const float* __restrict__ resid,
            const float* __restrict__ skip, scalar_t* __restrict__ mixed, scalar_t* __restrict__ normed, int64_t N,
            int C) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32;
    if (row >= N) return;  // a whole warp leaves, and no barrier follows
    const int64_t at = row * C;
    const int lane = threadIdx.x % 32;
    const float w = *resid, w0 = *skip;
    float squares = 0.0f;
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C), b = load(x0 + at, start, C);
        Vector m;
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            const float value = start + j < C ? mix(w, a.at[j], w0, b.at[j]) : 0.0f;
            squares += value * value;
            m.at[j] = scalar_t(value);
        }
        store(mixed + at, start, C, m);
    }
    const float r = inverse_length(sum_of_warp(squares), C);
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C), b = load(x0 + at, start, C);
        Vector n;
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) n.at[j] = scalar_t(mix(w, a.at[j], w0, b.at[j]) * r);
        store(normed + at, start, C, n);
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
mix_backward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ x0, const float* __restrict__ resid,
             const float* __restrict__ skip, const scalar_t* __restrict__ dmixed, const scalar_t* __restrict__ dnormed,
             scalar_t* __restrict__ dx, scalar_t* __restrict__ dx0, float* __restrict__ dresid,
             float* __restrict__ dskip, int64_t N, int C) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32;
    if (row >= N) return;
    const int64_t at = row * C;
    const int lane = threadIdx.x % 32;
    const float w = *resid, w0 = *skip;
    float squares = 0.0f, product = 0.0f;
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C), b = load(x0 + at, start, C), dn = load(dnormed + at, start, C);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            const float value = start + j < C ? mix(w, a.at[j], w0, b.at[j]) : 0.0f;
            squares += value * value;
            product += value * static_cast<float>(dn.at[j]);
        }
    }
    const float r = inverse_length(sum_of_warp(squares), C);
    const float mean = sum_of_warp(product) * r / static_cast<float>(C);
    float of_x = 0.0f, of_x0 = 0.0f;
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C), b = load(x0 + at, start, C);
        const Vector dn = load(dnormed + at, start, C), dm = load(dmixed + at, start, C);
        Vector da, db;
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            const float n = mix(w, a.at[j], w0, b.at[j]) * r;
            const float d = static_cast<float>(dm.at[j]) + r * (static_cast<float>(dn.at[j]) - n * mean);
            of_x += start + j < C ? d * static_cast<float>(a.at[j]) : 0.0f;
            of_x0 += start + j < C ? d * static_cast<float>(b.at[j]) : 0.0f;
            da.at[j] = scalar_t(w * d);
            db.at[j] = scalar_t(w0 * d);
        }
        store(dx + at, start, C, da);
        store(dx0 + at, start, C, db);
    }
    of_x = sum_of_warp(of_x);
    of_x0 = sum_of_warp(of_x0);
    if (lane == 0) {
        dresid[row] = of_x;
        dskip[row] = of_x0;
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
norm_forward(const scalar_t* __restrict__ x, scalar_t* __restrict__ y, int64_t N, int C) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32;
    if (row >= N) return;
    const int64_t at = row * C;
    const int lane = threadIdx.x % 32;
    float squares = 0.0f;
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) squares += static_cast<float>(a.at[j]) * static_cast<float>(a.at[j]);
    }
    const float r = inverse_length(sum_of_warp(squares), C);
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        Vector a = load(x + at, start, C);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) a.at[j] = scalar_t(static_cast<float>(a.at[j]) * r);
        store(y + at, start, C, a);
    }
}

extern "C" __global__ void __launch_bounds__(32 * WARPS)
norm_backward(const scalar_t* __restrict__ x, const scalar_t* __restrict__ dy, scalar_t* __restrict__ dx, int64_t N,
              int C) {
    const int64_t row = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / 32;
    if (row >= N) return;
    const int64_t at = row * C;
    const int lane = threadIdx.x % 32;
    float squares = 0.0f, product = 0.0f;
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        const Vector a = load(x + at, start, C), d = load(dy + at, start, C);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++) {
            squares += static_cast<float>(a.at[j]) * static_cast<float>(a.at[j]);
            product += static_cast<float>(a.at[j]) * static_cast<float>(d.at[j]);
        }
    }
    const float r = inverse_length(sum_of_warp(squares), C);
    const float mean = sum_of_warp(product) * r / static_cast<float>(C);
    #pragma unroll STEPS
    for (int start = lane * WIDTH; start < C; start += 32 * WIDTH) {
        Vector a = load(x + at, start, C);
        const Vector d = load(dy + at, start, C);
        #pragma unroll
        for (int j = 0; j < WIDTH; j++)
            a.at[j] = scalar_t(r * (static_cast<float>(d.at[j]) - static_cast<float>(a.at[j]) * r * mean));
        store(dx + at, start, C, a);
    }
}
"""


def blocks(rows):
    return ((rows + WARPS - 1) // WARPS,)


def mix_norm_forward(x, x0, resid, skip):
    N, C = x.shape
    mixed = torch.empty_like(x)
    normed = torch.empty_like(x)
    launch(SOURCE, "mix_forward", blocks(N), (32 * WARPS,), (x, x0, resid, skip, mixed, normed, N, C))
    return mixed, normed


def mix_norm_backward(x, x0, resid, skip, mixed, normed, dmixed, dnormed):
    N, C = x.shape
    dx = torch.empty_like(x)
    dx0 = torch.empty_like(x)
    of_rows = torch.empty((N,), dtype=torch.float32, device=x.device)
    of_rows0 = torch.empty((N,), dtype=torch.float32, device=x.device)
    launch(
        SOURCE,
        "mix_backward",
        blocks(N),
        (32 * WARPS,),
        (x, x0, resid, skip, dmixed, dnormed, dx, dx0, of_rows, of_rows0, N, C),
    )
    return dx, dx0, torch.sum(of_rows), torch.sum(of_rows0)


def rms_norm_forward(x):
    N, C = x.shape
    y = torch.empty_like(x)
    launch(SOURCE, "norm_forward", blocks(N), (32 * WARPS,), (x, y, N, C))
    return y


def rms_norm_backward(x, y, dy):
    N, C = x.shape
    dx = torch.empty_like(x)
    launch(SOURCE, "norm_backward", blocks(N), (32 * WARPS,), (x, dy, dx, N, C))
    return dx
