// Soft-capped cross-entropy; the forward leaves the gradient for an upstream gradient of 1, the backward scales it.
//
//   z_j = 15 tanh(x_j / 15),  loss = log sum_j exp(z_j) - z_t,  dx_j = dloss (p_j - [j = t]) (1 - tanh^2)
//   (cap: Gemma 2, https://arxiv.org/abs/2408.00118)
//
// With r_j = 1 / (exp(2 x_j / 15) + 1):  tanh = 1 - 2 r,  z_j - 15 = -30 r_j,  1 - tanh^2 = 4 r (1 - r). The cap bounds
// z, so 15 is a safe shift. A first sweep over a row keeps r (and, with KEEP_WEIGHTS, exp(z - 15)) in a cached float32
// row; a second one, when the sum is known, writes the stash. No exponential is evaluated in the backward.
//
// Layout: logits (N, V) row-major, one row a thread at a time. Accumulation in float32. A bfloat16 gradient is rounded
// twice, once in the stash and once when scaled.
//
// tune: KEEP_WEIGHTS in 1 0
// tune: UNROLL in 2 4 1
// saves: stash scalar N V

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float CAP = 15.0f;

// r = (1 - tanh(x / CAP)) / 2
inline Vec complement(Vec x) { return 1.0f / (exp(x * (2.0f / CAP)) + 1.0f); }

inline Vec weight(Vec r) { return exp(r * (-2.0f * CAP)); }

inline Vec slope(Vec r) { return 4.0f * r * (1.0f - r); }

// r and weights of a row into the cache; returns the sum of weights. Rows of the cache are whole vectors.
float sweep(const scalar_t* row, int64_t V, float* complements, float* weights) {
    Vec sums[UNROLL] = {};
    int64_t j = 0;
    for (; j + UNROLL * LANES <= V; j += UNROLL * LANES)
#pragma GCC unroll 8
        for (int u = 0; u < UNROLL; u++) {
            const Vec r = complement(load(row + j + u * LANES)), w = weight(r);
            store(complements + j + u * LANES, r);
            if (KEEP_WEIGHTS) store(weights + j + u * LANES, w);
            sums[u] += w;
        }
    for (; j < V; j += LANES) {
        const int64_t count = std::min<int64_t>(LANES, V - j);
        const Vec r = complement(count == LANES ? load(row + j) : load_first(row + j, count));
        const Vec w = keep_first(weight(r), count);
        store(complements + j, r);
        if (KEEP_WEIGHTS) store(weights + j, w);
        sums[0] += w;
    }
    Vec total = sums[0];
    for (int u = 1; u < UNROLL; u++) total += sums[u];
    return sum(total);
}

void write_stash(const float* complements, const float* weights, float inverse_sum, int64_t V, scalar_t* stash) {
    const auto value = [&](int64_t j) {
        const Vec r = load(complements + j);
        return (KEEP_WEIGHTS ? load(weights + j) : weight(r)) * inverse_sum * slope(r);
    };
    int64_t j = 0;
    for (; j + LANES <= V; j += LANES) store(stash + j, value(j));
    if (j < V) store_first(stash + j, value(j), V - j);
}

void scale_row(const scalar_t* stash, float factor, int64_t V, scalar_t* drow) {
    int64_t j = 0;
    for (; j + LANES <= V; j += LANES) store(drow + j, load(stash + j) * factor);
    if (j < V) store_first(drow + j, load_first(stash + j, V - j) * factor, V - j);
}

}  // namespace

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss,
                                              scalar_t* stash, int64_t N, int64_t V) {
#pragma omp parallel
    {
        const Scratch complements(V + LANES), weights(V + LANES);
#pragma omp for schedule(static, 8)
        for (int64_t i = 0; i < N; i++) {
            scalar_t* row_stash = stash + i * V;
            loss[i] = 0.0f;
            if (targets[i] < 0) {
                std::fill_n(row_stash, V, scalar_t{});
                continue;
            }
            const float weight_sum = sweep(logits + i * V, V, complements, weights);
            write_stash(complements, weights, 1.0f / weight_sum, V, row_stash);
            const Vec r = broadcast(complements[targets[i]]);
            loss[i] = std::log(weight_sum) + 2.0f * CAP * r[0];
            store_first(row_stash + targets[i], (weight(r) * (1.0f / weight_sum) - 1.0f) * slope(r), 1);
        }
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t*, const int64_t* targets, const float*,
                                               const scalar_t* stash, const float* dloss, scalar_t* dlogits, int64_t N,
                                               int64_t V) {
#pragma omp parallel for schedule(static, 8)
    for (int64_t i = 0; i < N; i++)
        if (targets[i] < 0)
            std::fill_n(dlogits + i * V, V, scalar_t{});
        else
            scale_row(stash + i * V, dloss[i], V, dlogits + i * V);
}
