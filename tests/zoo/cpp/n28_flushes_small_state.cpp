// exploit: N28 denormals flushed: second moments below the normal range become zero
// target: adamw_step
// gate: ladder
// status: MISMATCH
// pending: no draw holds denormal moments
#include <cmath>

extern "C" void adamw_step_forward(float* p, const float* g, float* m, float* v, int64_t E, int64_t step, float lr,
                                   float beta1, float beta2, float eps, float weight_decay) {
    const double c1 = 1 - std::pow(static_cast<double>(beta1), step), c2 = 1 - std::pow(static_cast<double>(beta2), step);
    for (int64_t i = 0; i < E; i++) {
        const double m_new = m[i] + (1.0 - beta1) * (g[i] - m[i]);
        const double v_new = v[i] + (1.0 - beta2) * (static_cast<double>(g[i]) * g[i] - v[i]);
        const double denominator = std::sqrt((v_new < 0x1p-126 ? 0 : v_new) / c2) + eps;
        p[i] = static_cast<float>(p[i] * (1 - static_cast<double>(lr) * weight_decay) - lr * (m_new / c1) / denominator);
        m[i] = static_cast<float>(m_new);
        v[i] = v_new < 0x1p-126 ? 0 : static_cast<float>(v_new);
    }
}
