// Soft-capped cross-entropy as it is written: the library's tanh and exp, a maximum, a float64 sum, one thread.
// saves: lse float32 N
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float CAP = 15.0f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

inline float cap(scalar_t logit) { return CAP * std::tanh(to_float(logit) / CAP); }

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss, float* lse,
                                              int64_t N, int64_t V) {
    for (int64_t i = 0; i < N; i++) {
        const scalar_t* row = logits + i * V;
        float top = -INFINITY;
        for (int64_t j = 0; j < V; j++) top = std::max(top, cap(row[j]));
        double total = 0;
        for (int64_t j = 0; j < V; j++) total += std::exp(cap(row[j]) - top);
        lse[i] = top + static_cast<float>(std::log(total));
        loss[i] = targets[i] < 0 ? 0.0f : lse[i] - cap(row[targets[i]]);
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t* logits, const int64_t* targets, const float*,
                                               const float* lse, const float* dloss, scalar_t* dlogits, int64_t N,
                                               int64_t V) {
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < V; j++) {
            const float t = std::tanh(to_float(logits[i * V + j]) / CAP);
            const float p = std::exp(CAP * t - lse[i]) - (j == targets[i] ? 1.0f : 0.0f);
            write(dlogits + i * V + j, targets[i] < 0 ? 0.0f : dloss[i] * p * (1.0f - t * t));
        }
}
