// One AdamW step without square root or division: approximate reciprocals and one Newton step each, data fetched ahead.
//
//   m' = m + (1 - beta1) (g - m),  v' = v + (1 - beta2) (g^2 - v)
//   p' = p (1 - lr wd) - a m' / (sqrt(v') + b),  a = lr sqrt(c) / (1 - beta1^step),  b = eps sqrt(c),
//   c = 1 - beta2^step
//   (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101; the correction of v is folded into a and b)
//
// y = 1/sqrt(v) from the 14-bit instruction becomes y (1.5 - v y^2 / 2), relative error about 2^-24; likewise the
// reciprocal of the denominator, z (2 - d z). v is kept at least 2^-126, whose root of 1e-19 no usable eps notices.
// Without AVX-512 the exact instructions are used.
// Layout: flat p, g, m, v; p, m, v in place, one contiguous range a thread. Float32 inside; one rounding at each store.
//
// tune: PREFETCH_ELEMENTS in 512 0 256 1024
// tune: UNROLL in 4 2 1

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>
#include <omp.h>

namespace {

using namespace ks;

struct Rates {
    float decay, one_minus_beta1, one_minus_beta2, rate, eps;
    Rates(int64_t step, double lr, double beta1, double beta2, double eps, double weight_decay) {
        const double root = std::sqrt(1 - std::pow(beta2, static_cast<double>(step)));
        this->decay = static_cast<float>(1 - lr * weight_decay);
        this->one_minus_beta1 = static_cast<float>(1 - beta1);
        this->one_minus_beta2 = static_cast<float>(1 - beta2);
        this->rate = static_cast<float>(lr * root / (1 - std::pow(beta1, static_cast<double>(step))));
        this->eps = static_cast<float>(eps * root);
    }
};

// 1 / (sqrt(v) + eps)
inline Vec inverse_denominator(Vec v, float eps) {
#if defined(__AVX512F__)
    v = max(v, broadcast(1.17549435e-38f));
    Vec y = _mm512_maskz_rsqrt14_ps(ALL, v);
    y = y * (1.5f - 0.5f * v * y * y);
    const Vec denominator = v * y + eps;
    const Vec z = _mm512_maskz_rcp14_ps(ALL, denominator);
    return z * (2.0f - denominator * z);
#else
    return 1.0f / (ks::sqrt(v) + eps);
#endif
}

inline void update(const Rates& rates, Vec& p, Vec g, Vec& m, Vec& v) {
    m += (g - m) * rates.one_minus_beta1;
    v += (g * g - v) * rates.one_minus_beta2;
    p = p * rates.decay - rates.rate * m * inverse_denominator(v, rates.eps);
}

inline void update_vector(const Rates& rates, scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v) {
    Vec p_now = load(p), m_now = load(m), v_now = load(v);
    update(rates, p_now, load(g), m_now, v_now);
    store(m, m_now);
    store(v, v_now);
    store(p, p_now);
}

void update_tail(const Rates& rates, scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t count) {
    Vec p_now = load_first(p, count), m_now = load_first(m, count), v_now = load_first(v, count);
    update(rates, p_now, load_first(g, count), m_now, v_now);
    store_first(m, m_now, count);
    store_first(v, v_now, count);
    store_first(p, p_now, count);
}

void update_range(const Rates& rates, scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t count) {
    constexpr int64_t STEP = UNROLL * LANES;
    int64_t i = 0;
    for (; i + STEP <= count; i += STEP) {
        if (PREFETCH_ELEMENTS > 0)
            for (int64_t u = i + PREFETCH_ELEMENTS; u < i + PREFETCH_ELEMENTS + STEP; u += 64 / sizeof(scalar_t)) {
                __builtin_prefetch(p + u, 1);
                __builtin_prefetch(g + u);
                __builtin_prefetch(m + u, 1);
                __builtin_prefetch(v + u, 1);
            }
#pragma GCC unroll 4
        for (int64_t u = i; u < i + STEP; u += LANES) update_vector(rates, p + u, g + u, m + u, v + u);
    }
    for (; i + LANES <= count; i += LANES) update_vector(rates, p + i, g + i, m + i, v + i);
    if (i < count) update_tail(rates, p + i, g + i, m + i, v + i, count - i);
}

}  // namespace

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const Rates rates(step, lr, beta1, beta2, eps, weight_decay);
    // Ranges of whole cache lines; an element's arithmetic is the same wherever the borders fall.
    const int64_t workers = std::clamp<int64_t>(E / 4096, 1, omp_get_max_threads());
    const int64_t share = round_up((E + workers - 1) / workers, 64);
#pragma omp parallel for schedule(static) num_threads(workers)
    for (int64_t worker = 0; worker < workers; worker++) {
        const int64_t begin = std::min(E, worker * share), count = std::min(E - begin, share);
        update_range(rates, p + begin, g + begin, m + begin, v + begin, count);
    }
}
