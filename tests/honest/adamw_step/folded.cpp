// One AdamW step in float32 with both bias corrections folded into two scalars; elements from the last to the first.
// tune: REVERSED in 1 0
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const double root = std::sqrt(1 - std::pow(static_cast<double>(beta2), static_cast<double>(step)));
    const double bias1 = 1 - std::pow(static_cast<double>(beta1), static_cast<double>(step));
    const float rate = static_cast<float>(lr * root / bias1);
    const float small = static_cast<float>(eps * root);
    const float keep = static_cast<float>(1 - static_cast<double>(lr) * weight_decay);
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < E; j++) {
        const int64_t i = REVERSED ? E - 1 - j : j;
        const float gradient = to_float(g[i]), old_m = to_float(m[i]), old_v = to_float(v[i]);
        const float new_m = old_m + (1.0f - beta1) * (gradient - old_m);
        const float new_v = old_v + (1.0f - beta2) * (gradient * gradient - old_v);
        write(p + i, to_float(p[i]) * keep - rate * new_m / (std::sqrt(new_v) + small));
        write(m + i, new_m);
        write(v + i, new_v);
    }
}
