// One AdamW step in two sweeps over blocks: the moments, kept unrounded in scratch, then the weights.
// tune: BLOCK in 512 100 4096
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

extern "C" void adamw_step_forward(scalar_t* p, const scalar_t* g, scalar_t* m, scalar_t* v, int64_t E, int64_t step,
                                   float lr, float beta1, float beta2, float eps, float weight_decay) {
    const float inverse1 = static_cast<float>(1 / (1 - std::pow(double{beta1}, static_cast<double>(step))));
    const float inverse2 = static_cast<float>(1 / (1 - std::pow(double{beta2}, static_cast<double>(step))));
    const float keep = static_cast<float>(1 - static_cast<double>(lr) * weight_decay);
#pragma omp parallel
    {
        const Scratch first(BLOCK), second(BLOCK);
#pragma omp for schedule(dynamic)
        for (int64_t begin = 0; begin < E; begin += BLOCK) {
            const int64_t count = std::min<int64_t>(BLOCK, E - begin);
            for (int64_t i = 0; i < count; i++) {
                const float gradient = to_float(g[begin + i]);
                first[i] = std::fma(1.0f - beta1, gradient, beta1 * to_float(m[begin + i]));
                second[i] = std::fma((1.0f - beta2) * gradient, gradient, beta2 * to_float(v[begin + i]));
                write(m + begin + i, first[i]);
                write(v + begin + i, second[i]);
            }
            for (int64_t i = 0; i < count; i++) {
                const float denominator = std::sqrt(second[i] * inverse2) + eps;
                const float direction = first[i] * inverse1 / denominator;
                write(p + begin + i, std::fma(-lr, direction, to_float(p[begin + i]) * keep));
            }
        }
    }
}
