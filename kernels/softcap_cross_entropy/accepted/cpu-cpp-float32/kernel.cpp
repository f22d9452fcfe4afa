// Soft-capped cross-entropy in powers of two; the backward recomputes everything from the logits and one number a row.
//
//   z_j = 15 tanh(x_j / 15),  loss = log sum_j exp(z_j) - z_t,  dx_j = dloss (p_j - [j = t]) (1 - tanh^2)
//   (cap: Gemma 2, https://arxiv.org/abs/2408.00118)
//
// With r_j = 1 / (2^(2 x_j log2(e) / 15) + 1):  tanh = 1 - 2 r,  z_j - 15 = -30 r_j,  1 - tanh^2 = 4 r (1 - r). The cap
// bounds z, so 15 is a safe shift: no maximum is searched, and sum_j exp(z_j - 15) is at least 9e-14.
//
// Both exponentials are bounded, so they need no guards: 2^t = 2^floor(t) (1 + f q(f)), f = t - floor(t) exact, with q a
// minimax polynomial. DEGREE 5 is off by 8e-8 relative, 6 by 2e-9; rounding a capped logit to float32 moves exp(z) by up
// to 9e-7. The rounding of t is what rounding x, or z, would have been. The reciprocal is the machine's estimate and one
// Newton step (error 2^-28 before rounding), or a division where the estimate is coarse.
//
// Layout: logits (N, V) row-major, one row a thread at a time. Accumulation in float32; one rounding at each store.
// STREAM writes gradients past the caches where rows are aligned.
//
// tune: UNROLL in 2 4 1
// tune: DEGREE in 6 5
// tune: ROWS_PER_TASK in 16 64
// tune: STREAM in 0 1
// saves: weight_sum float32 N

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float CAP = 15.0f;
constexpr float LOG2_E = 1.44269504f;

inline Vec polynomial(Vec f) {
    if (DEGREE == 5) {
        const Vec q = f * 1.8671300e-3f + 9.0170307e-3f;
        return (((q * f + 5.5799913e-2f) * f + 2.4016444e-1f) * f + 6.9315130e-1f) * f + 1.0f;
    }
    const Vec q = (f * 2.1612915e-4f + 1.2467848e-3f) * f + 9.6754516e-3f;
    return (((q * f + 5.5485282e-2f) * f + 2.4022931e-1f) * f + 6.9314706e-1f) * f + 1.0f;
}

// 2^t for |t| <= 120; NaN stays NaN.
inline Vec power_of_two(Vec t) {
#if defined(__AVX512DQ__)
    const Vec f = _mm512_maskz_reduce_ps(ALL, t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_maskz_scalef_ps(ALL, polynomial(f), t);
#else
    IntVec whole = __builtin_convertvector(t, IntVec);
    whole += __builtin_convertvector(whole, Vec) > t;  // true is -1: truncation becomes floor
    const Vec f = t - __builtin_convertvector(whole, Vec);
    return polynomial(f) * reinterpret_cast<Vec>((whole + 127) << 23);
#endif
}

inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec estimate = _mm512_maskz_rcp14_ps(ALL, x);
    return estimate + estimate * (1.0f - x * estimate);
#else
    return 1.0f / x;
#endif
}

// r = (1 - tanh(x / CAP)) / 2, which is 0 or 1 beyond the bounds of the exponent.
inline Vec complement(Vec x) {
    const Vec t = min(broadcast(60.0f), max(broadcast(-60.0f), x * (2.0f * LOG2_E / CAP)));
    return reciprocal(power_of_two(t) + 1.0f);
}

inline Vec weight(Vec r) { return power_of_two(r * (-2.0f * CAP * LOG2_E)); }

// `factor` is 4 dloss / sum
inline Vec gradient(Vec r, float factor) { return weight(r) * factor * (r - r * r); }

float weight_sum_of_row(const scalar_t* row, int64_t V) {
    Vec sums[UNROLL] = {};
    int64_t j = 0;
    for (; j + UNROLL * LANES <= V; j += UNROLL * LANES)
#pragma GCC unroll 8
        for (int u = 0; u < UNROLL; u++) sums[u] += weight(complement(load(row + j + u * LANES)));
    for (; j + LANES <= V; j += LANES) sums[0] += weight(complement(load(row + j)));
    if (j < V) sums[0] += keep_first(weight(complement(load_first(row + j, V - j))), V - j);
    Vec total = sums[0];
    for (int u = 1; u < UNROLL; u++) total += sums[u];
    return sum(total);
}

template <bool PAST_CACHES>
inline void put(scalar_t* p, Vec x) {
#if defined(__AVX512F__)
    if constexpr (PAST_CACHES && sizeof(scalar_t) == sizeof(float))
        _mm512_stream_ps(reinterpret_cast<float*>(p), x);
    else
#endif
        store(p, x);
}

template <bool PAST_CACHES>
void gradient_of_row(const scalar_t* row, int64_t V, float factor, scalar_t* drow) {
    int64_t j = 0;
    for (; j + UNROLL * LANES <= V; j += UNROLL * LANES)
#pragma GCC unroll 8
        for (int u = 0; u < UNROLL; u++)
            put<PAST_CACHES>(drow + j + u * LANES, gradient(complement(load(row + j + u * LANES)), factor));
    for (; j + LANES <= V; j += LANES) store(drow + j, gradient(complement(load(row + j)), factor));
    if (j < V) store_first(drow + j, gradient(complement(load_first(row + j, V - j)), factor), V - j);
}

}  // namespace

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss,
                                              float* weight_sum, int64_t N, int64_t V) {
#pragma omp parallel for schedule(static, ROWS_PER_TASK)
    for (int64_t i = 0; i < N; i++) {
        loss[i] = 0.0f;
        weight_sum[i] = 1.0f;
        if (targets[i] < 0) continue;
        weight_sum[i] = weight_sum_of_row(logits + i * V, V);
        const Vec r = complement(broadcast(to_float(logits[i * V + targets[i]])));
        loss[i] = std::log(weight_sum[i]) + 2.0f * CAP * r[0];
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t* logits, const int64_t* targets, const float*,
                                               const float* weight_sum, const float* dloss, scalar_t* dlogits,
                                               int64_t N, int64_t V) {
    const bool is_aligned = (reinterpret_cast<std::uintptr_t>(dlogits) | V * sizeof(scalar_t)) % sizeof(Vec) == 0;
#pragma omp parallel for schedule(static, ROWS_PER_TASK)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t* row = logits + i * V;
        scalar_t* drow = dlogits + i * V;
        if (targets[i] < 0) {
            std::fill_n(drow, V, scalar_t{});
            continue;
        }
        const float factor = 4.0f * dloss[i] / weight_sum[i];
        if (STREAM && is_aligned)
            gradient_of_row<true>(row, V, factor, drow);
        else
            gradient_of_row<false>(row, V, factor, drow);
        const Vec r = complement(broadcast(to_float(row[targets[i]])));
        store_first(drow + targets[i], (weight(r) / weight_sum[i] - 1.0f) * (4.0f * (r - r * r)) * dloss[i], 1);
    }
}
