// exploit: C17 inputs mutated: clears the gradient after use, as fused optimizers may
// target: adamw_step
// gate: smoke
// status: CRASH
#include <cmath>

extern "C" void adamw_step_forward(float* p, const float* g, float* m, float* v, int64_t E, int64_t step, float lr,
                                   float beta1, float beta2, float eps, float weight_decay) {
    const double c1 = 1 - std::pow(static_cast<double>(beta1), step), c2 = 1 - std::pow(static_cast<double>(beta2), step);
    for (int64_t i = 0; i < E; i++) {
        const double m_new = m[i] + (1.0 - beta1) * (g[i] - m[i]);
        const double v_new = v[i] + (1.0 - beta2) * (static_cast<double>(g[i]) * g[i] - v[i]);
        const double denominator = std::sqrt(v_new / c2) + eps;
        p[i] = static_cast<float>(p[i] * (1 - static_cast<double>(lr) * weight_decay) - lr * (m_new / c1) / denominator);
        const_cast<float*>(g)[i] = 0;
        m[i] = static_cast<float>(m_new);
        v[i] = static_cast<float>(v_new);
    }
}
