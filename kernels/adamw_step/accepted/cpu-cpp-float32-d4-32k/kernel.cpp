// One AdamW step, a plain vector loop over fixed chunks.
//
//   m' = m + (1 - beta1) (g - m),  v' = v + (1 - beta2) (g^2 - v)
//   p' = p (1 - lr wd) - lr / (1 - beta1^step) m' / (sqrt(v' / (1 - beta2^step)) + eps)
//   (Loshchilov and Hutter, https://arxiv.org/abs/1711.05101)
//
// Everything that depends on the step alone is computed once, in float64. Exact square root and division.
// Layout: flat p, g, m, v; p, m, v in place. Float32 inside; one rounding at each store.
//
// tune: CHUNK in 4096 1024 16384 65536
// tune: UNROLL in 2 1 4

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

struct Rates {
    float decay, one_minus_beta1, one_minus_beta2, inverse_bias2, rate, eps;
    Rates(int64_t step, double lr, double beta1, double beta2, float eps, double weight_decay)
        : decay(static_cast<float>(1 - lr * weight_decay)), one_minus_beta1(static_cast<float>(1 - beta1)),
          one_minus_beta2(static_cast<float>(1 - beta2)),
          inverse_bias2(static_cast<float>(1 / (1 - std::pow(beta2, static_cast<double>(step))))),
          rate(static_cast<float>(lr / (1 - std::pow(beta1, static_cast<double>(step))))), eps(eps) {}
};

inline void update(const Rates& rates, Vec& p, Vec g, Vec& m, Vec& v) {
    m += (g - m) * rates.one_minus_beta1;
    v += (g * g - v) * rates.one_minus_beta2;
    p = p * rates.decay - rates.rate * m / (ks::sqrt(v * rates.inverse_bias2) + rates.eps);
}

void update_vector(const Rates& rates, scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v) {
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

}  // namespace

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const Rates rates(step, lr, beta1, beta2, eps, weight_decay);
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < E; begin += CHUNK) {
        const int64_t end = std::min<int64_t>(E, begin + CHUNK);
        int64_t i = begin;
        for (; i + UNROLL * LANES <= end; i += UNROLL * LANES)
#pragma GCC unroll 4
            for (int64_t u = i; u < i + UNROLL * LANES; u += LANES) update_vector(rates, p + u, g + u, m + u, v + u);
        for (; i + LANES <= end; i += LANES) update_vector(rates, p + i, g + i, m + i, v + i);
        if (i < end) update_tail(rates, p + i, g + i, m + i, v + i, end - i);
    }
}
