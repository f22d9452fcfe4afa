// One AdamW step, elements dealt to WORKERS in turn; the root's inverse is taken first and multiplied.
// tune: WORKERS in 4 1 7
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const float bias1 = static_cast<float>(1 - std::pow(static_cast<double>(beta1), static_cast<double>(step)));
    const double bias2 = 1 - std::pow(static_cast<double>(beta2), static_cast<double>(step));
    const float root2 = static_cast<float>(std::sqrt(bias2));
    const float keep = static_cast<float>(1 - static_cast<double>(lr) * weight_decay);
#pragma omp parallel for schedule(static, 1)
    for (int64_t worker = 0; worker < WORKERS; worker++)
        for (int64_t i = worker; i < E; i += WORKERS) {
            const float gradient = to_float(g[i]), square = gradient * gradient;
            const float new_m = beta1 * to_float(m[i]) + (1.0f - beta1) * gradient;
            const float new_v = beta2 * to_float(v[i]) + (1.0f - beta2) * square;
            const float inverse = 1.0f / (std::sqrt(new_v) / root2 + eps);
            const float change = lr * (new_m / bias1) * inverse;
            write(m + i, new_m);
            write(v + i, new_v);
            write(p + i, to_float(p[i]) * keep - change);
        }
}
