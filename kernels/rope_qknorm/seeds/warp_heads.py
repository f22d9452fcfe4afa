"""Rotary positions and RMS norm of heads in CUDA C: sixteen lanes a head, queries and keys in one launch.

    (u, w) = (c x + s z, c z - s x),  out = 1.2 (u, w) r,  r = 1 / sqrt(mean((u, w)^2) + 2^-23)

Written from the equations in target.py. A lane takes four angles of a head at a time, so 16 bytes of each half in
float32 and 8 in bfloat16; a head's sums are shuffled among its sixteen lanes. The backward turns q and k again, as
many bytes as reading something saved, and no rounding in between. Interiors float32, one rounding each. Tensors that
are not aligned are read number by number.
"""

import torch

TUNE = {"THREADS": [128, 64, 256]}

SOURCE = r"""
#include <cuda_bf16.h>
#include <cstdint>

constexpr int ANGLES = 4, LANES = 16, HEADS = THREADS / LANES;
constexpr float EPSILON = 1.1920928955078125e-07f, SHARPNESS = 1.2f;

constexpr int VECTOR_BYTES = ANGLES * sizeof(scalar_t);
struct __align__(VECTOR_BYTES) Vector { scalar_t at[ANGLES]; };
struct Four { float at[ANGLES]; };

__device__ __forceinline__ bool is_aligned(const void* p) {
    return reinterpret_cast<uintptr_t>(p) % sizeof(Vector) == 0;
}

__device__ __forceinline__ Four load(const scalar_t* from, bool aligned) {
    Vector raw;
    if (aligned) {
        raw = *reinterpret_cast<const Vector*>(from);
    } else {
        #pragma unroll
        for (int j = 0; j < ANGLES; j++) raw.at[j] = from[j];
    }
    Four found;
    #pragma unroll
    for (int j = 0; j < ANGLES; j++) found.at[j] = static_cast<float>(raw.at[j]);
    return found;
}

__device__ __forceinline__ void store(scalar_t* to, bool aligned, const Four& value) {
    Vector raw;
    #pragma unroll
    for (int j = 0; j < ANGLES; j++) raw.at[j] = scalar_t(value.at[j]);
    if (aligned) {
        *reinterpret_cast<Vector*>(to) = raw;
    } else {
        #pragma unroll
        for (int j = 0; j < ANGLES; j++) to[j] = raw.at[j];
    }
}

__device__ __forceinline__ float sum_of_head(float value) {
    #pragma unroll
    for (int bit = LANES / 2; bit > 0; bit /= 2) value += __shfl_xor_sync(0xffffffffu, value, bit);
    return value;
}

// The turned halves of four angles.
__device__ __forceinline__ void turn(const Four& x, const Four& z, const Four& c, const Four& s, Four& u, Four& w) {
    #pragma unroll
    for (int j = 0; j < ANGLES; j++) {
        u.at[j] = c.at[j] * x.at[j] + s.at[j] * z.at[j];
        w.at[j] = c.at[j] * z.at[j] - s.at[j] * x.at[j];
    }
}

__device__ __forceinline__ float dot(const Four& a, const Four& b) {
    float sum = 0.0f;
    #pragma unroll
    for (int j = 0; j < ANGLES; j++) sum += a.at[j] * b.at[j];
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
forward(const scalar_t* __restrict__ q, const scalar_t* __restrict__ k, const scalar_t* __restrict__ cosines,
        const scalar_t* __restrict__ sines, scalar_t* __restrict__ q_out, scalar_t* __restrict__ k_out,
        int64_t positions, int T, int H, int K, int F) {
    const int64_t head = static_cast<int64_t>(blockIdx.x) * HEADS + threadIdx.x / LANES;
    const bool exists = head < positions * (H + K);  // all lanes of a warp shuffle, whether their head exists or not
    const int64_t position = exists ? head / (H + K) : 0;
    const int which = exists ? static_cast<int>(head % (H + K)) : 0, lane = threadIdx.x % LANES;
    const int64_t at = which < H ? (position * H + which) * 2 * F : (position * K + which - H) * 2 * F;
    const scalar_t* from = (which < H ? q : k) + at;
    scalar_t* to = (which < H ? q_out : k_out) + at;
    const scalar_t* c = cosines + position % T * F;
    const scalar_t* s = sines + position % T * F;
    const bool aligned = is_aligned(from) && is_aligned(to) && is_aligned(c) && is_aligned(s);
    float squares = 0.0f;
    Four u, w;
    for (int i = lane * ANGLES; i < F && exists; i += LANES * ANGLES) {
        turn(load(from + i, aligned), load(from + F + i, aligned), load(c + i, aligned), load(s + i, aligned), u, w);
        squares += dot(u, u) + dot(w, w);
    }
    const float r = SHARPNESS / sqrtf(sum_of_head(squares) / static_cast<float>(2 * F) + EPSILON);
    for (int i = lane * ANGLES; i < F && exists; i += LANES * ANGLES) {
        turn(load(from + i, aligned), load(from + F + i, aligned), load(c + i, aligned), load(s + i, aligned), u, w);
        #pragma unroll
        for (int j = 0; j < ANGLES; j++) {
            u.at[j] *= r;
            w.at[j] *= r;
        }
        store(to + i, aligned, u);
        store(to + F + i, aligned, w);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
backward(const scalar_t* __restrict__ q, const scalar_t* __restrict__ k, const scalar_t* __restrict__ cosines,
         const scalar_t* __restrict__ sines, const scalar_t* __restrict__ dq_out, const scalar_t* __restrict__ dk_out,
         scalar_t* __restrict__ dq, scalar_t* __restrict__ dk, int64_t positions, int T, int H, int K, int F) {
    const int64_t head = static_cast<int64_t>(blockIdx.x) * HEADS + threadIdx.x / LANES;
    const bool exists = head < positions * (H + K);
    const int64_t position = exists ? head / (H + K) : 0;
    const int which = exists ? static_cast<int>(head % (H + K)) : 0, lane = threadIdx.x % LANES;
    const int64_t at = which < H ? (position * H + which) * 2 * F : (position * K + which - H) * 2 * F;
    const scalar_t* from = (which < H ? q : k) + at;
    const scalar_t* upstream = (which < H ? dq_out : dk_out) + at;
    scalar_t* to = (which < H ? dq : dk) + at;
    const scalar_t* c = cosines + position % T * F;
    const scalar_t* s = sines + position % T * F;
    const bool aligned =
        is_aligned(from) && is_aligned(upstream) && is_aligned(to) && is_aligned(c) && is_aligned(s);
    float squares = 0.0f, product = 0.0f;
    Four u, w;
    for (int i = lane * ANGLES; i < F && exists; i += LANES * ANGLES) {
        turn(load(from + i, aligned), load(from + F + i, aligned), load(c + i, aligned), load(s + i, aligned), u, w);
        squares += dot(u, u) + dot(w, w);
        product += dot(u, load(upstream + i, aligned)) + dot(w, load(upstream + F + i, aligned));
    }
    const float r = 1.0f / sqrtf(sum_of_head(squares) / static_cast<float>(2 * F) + EPSILON);
    const float mean = sum_of_head(product) * r * r / static_cast<float>(2 * F);
    for (int i = lane * ANGLES; i < F && exists; i += LANES * ANGLES) {
        const Four cosine = load(c + i, aligned), sine = load(s + i, aligned);
        turn(load(from + i, aligned), load(from + F + i, aligned), cosine, sine, u, w);
        const Four up = load(upstream + i, aligned), down = load(upstream + F + i, aligned);
        Four dx, dz;
        #pragma unroll
        for (int j = 0; j < ANGLES; j++) {
            const float du = SHARPNESS * r * (up.at[j] - u.at[j] * mean);
            const float dw = SHARPNESS * r * (down.at[j] - w.at[j] * mean);
            dx.at[j] = cosine.at[j] * du - sine.at[j] * dw;
            dz.at[j] = sine.at[j] * du + cosine.at[j] * dw;
        }
        store(to + i, aligned, dx);
        store(to + F + i, aligned, dz);
    }
}
"""


def blocks(heads):
    of_block = THREADS // 16
    return ((heads + of_block - 1) // of_block,)


def rope_qknorm_forward(q, k, cos, sin):
    B, T, H, D = q.shape
    K = k.shape[2]
    q_out = torch.empty_like(q)
    k_out = torch.empty_like(k)
    grid = blocks(B * T * (H + K))
    launch(SOURCE, "forward", grid, (THREADS,), (q, k, cos, sin, q_out, k_out, B * T, T, H, K, D // 2))
    return q_out, k_out


def rope_qknorm_backward(q, k, cos, sin, q_out, k_out, dq_out, dk_out):
    B, T, H, D = q.shape
    K = k.shape[2]
    dq = torch.empty_like(q)
    dk = torch.empty_like(k)
    grid = blocks(B * T * (H + K))
    launch(SOURCE, "backward", grid, (THREADS,), (q, k, cos, sin, dq_out, dk_out, dq, dk, B * T, T, H, K, D // 2))
    return dq, dk
