// One AdamW step, element by element on one thread, everything in float64 between load and store.
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const double b1 = beta1, b2 = beta2, rate = lr, decay = weight_decay;
    const double bias1 = 1 - std::pow(b1, step), bias2 = 1 - std::pow(b2, step);
    for (int64_t i = 0; i < E; i++) {
        const double gradient = to_float(g[i]);
        const double first = to_float(m[i]) * b1 + gradient * (1 - b1);
        const double second = to_float(v[i]) * b2 + gradient * gradient * (1 - b2);
        const double step_size = rate * (first / bias1) / (std::sqrt(second / bias2) + eps);
        write(p + i, static_cast<float>(to_float(p[i]) * (1 - rate * decay) - step_size));
        write(m + i, static_cast<float>(first));
        write(v + i, static_cast<float>(second));
    }
}
