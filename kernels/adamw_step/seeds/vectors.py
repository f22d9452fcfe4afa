"""One AdamW step in CUDA C, 16 bytes a load, a few vectors a thread.

    m' = m + (1 - beta1) (g - m),  v' = v + (1 - beta2) (g^2 - v)
    p' = p (1 - lr wd) - a m' / (sqrt(v') + b),  a = lr sqrt(c) / (1 - beta1^step),  b = eps sqrt(c),
    c = 1 - beta2^step

Loshchilov and Hutter, https://arxiv.org/abs/1711.05101; written from the equations, the correction of v folded into
a and b as in newton.cpp. What follows from the parameters is computed once, in double, on the host. Layout: flat p,
g, m, v; p, m, v in place. Float32 inside, one rounding at each store; exact square root and division. Elements
before the first 16-byte boundary and after the last are taken one by one; where the four tensors are not aligned
alike, all are.
"""

import math

TUNE = {"THREADS": [256, 128, 512], "VECTORS": [2, 1, 4]}

SOURCE = r"""
#include <cuda_bf16.h>
#include <cstdint>

constexpr int WIDTH = 16 / sizeof(scalar_t);

struct __align__(16) Vector { scalar_t at[WIDTH]; };

struct Rates { float decay, one_minus_beta1, one_minus_beta2, rate, eps; };

__device__ __forceinline__ void update(const Rates& r, scalar_t& p, scalar_t g, scalar_t& m, scalar_t& v) {
    const float gradient = static_cast<float>(g);
    const float m_now = fmaf(r.one_minus_beta1, gradient - static_cast<float>(m), static_cast<float>(m));
    const float v_old = static_cast<float>(v);
    const float v_now = fmaf(r.one_minus_beta2, fmaf(gradient, gradient, -v_old), v_old);
    const float step = r.rate * m_now / (sqrtf(v_now) + r.eps);
    p = scalar_t(fmaf(static_cast<float>(p), r.decay, -step));
    m = scalar_t(m_now);
    v = scalar_t(v_now);
}

extern "C" __global__ void __launch_bounds__(THREADS)
adamw(scalar_t* __restrict__ p, const scalar_t* __restrict__ g, scalar_t* __restrict__ m, scalar_t* __restrict__ v,
      int64_t count, float decay, float one_minus_beta1, float one_minus_beta2, float rate, float eps) {
    const Rates rates = {decay, one_minus_beta1, one_minus_beta2, rate, eps};
    const uintptr_t offset = reinterpret_cast<uintptr_t>(p) % 16;
    const bool alike = reinterpret_cast<uintptr_t>(g) % 16 == offset && reinterpret_cast<uintptr_t>(m) % 16 == offset &&
                       reinterpret_cast<uintptr_t>(v) % 16 == offset;
    const int64_t head = min(count, static_cast<int64_t>((16 - offset) % 16 / sizeof(scalar_t)));
    const int64_t vectors = alike ? (count - head) / WIDTH : 0;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * THREADS * VECTORS + threadIdx.x;
    #pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        const int64_t at = first + i * THREADS;
        if (at < vectors) {
            const int64_t start = head + at * WIDTH;
            Vector p_now = *reinterpret_cast<const Vector*>(p + start);
            Vector m_now = *reinterpret_cast<const Vector*>(m + start);
            Vector v_now = *reinterpret_cast<const Vector*>(v + start);
            const Vector g_now = *reinterpret_cast<const Vector*>(g + start);
            #pragma unroll
            for (int j = 0; j < WIDTH; j++) update(rates, p_now.at[j], g_now.at[j], m_now.at[j], v_now.at[j]);
            *reinterpret_cast<Vector*>(p + start) = p_now;
            *reinterpret_cast<Vector*>(m + start) = m_now;
            *reinterpret_cast<Vector*>(v + start) = v_now;
        }
    }
    // What no vector covers: the elements before and after them, or all.
    const int64_t threads = static_cast<int64_t>(gridDim.x) * THREADS;
    const int64_t loose = count - vectors * WIDTH, before = alike ? head : 0;
    for (int64_t k = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x; k < loose; k += threads) {
        const int64_t at = k < before ? k : k + vectors * WIDTH;
        update(rates, p[at], g[at], m[at], v[at]);
    }
}
"""


def adamw_step_forward(p, g, m, v, step, lr, beta1, beta2, eps, weight_decay):
    root = math.sqrt(1.0 - math.pow(beta2, step))
    rate = lr * root / (1.0 - math.pow(beta1, step))
    count = p.numel()
    elements = THREADS * VECTORS * (16 // p.element_size())
    grid = ((count + elements - 1) // elements,)
    rates = (1.0 - lr * weight_decay, 1.0 - beta1, 1.0 - beta2, rate, eps * root)
    decay, one_minus_beta1, one_minus_beta2, rate, eps = rates
    launch(
        SOURCE,
        "adamw",
        grid,
        (THREADS,),
        (p, g, m, v, count, decay, one_minus_beta1, one_minus_beta2, rate, eps),
    )
