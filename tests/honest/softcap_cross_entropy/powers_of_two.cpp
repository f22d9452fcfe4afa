// Soft-capped cross-entropy in base 2 with the cap as a fixed shift; the capped logits are saved in float32.
// tune: CHUNK in 64 17 1024
// saves: capped float32 N V
// saves: inverse_sum float32 N
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float CAP = 15.0f, LOG2_E = 1.44269504f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// exp(z - CAP)
inline float weight(float z) { return std::exp2((z - CAP) * LOG2_E); }

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss,
                                              float* capped, float* inverse_sum, int64_t N, int64_t V) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        float* z = capped + i * V;
        float total = 0;
        for (int64_t begin = 0; begin < V; begin += CHUNK) {
            float part = 0;
            for (int64_t j = begin; j < std::min<int64_t>(V, begin + CHUNK); j++) {
                z[j] = CAP * std::tanh(to_float(logits[i * V + j]) / CAP);
                part += weight(z[j]);
            }
            total += part;
        }
        inverse_sum[i] = 1.0f / total;
        loss[i] = targets[i] < 0 ? 0.0f : std::log(total) + (CAP - z[targets[i]]);
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t*, const int64_t* targets, const float*,
                                               const float* capped, const float* inverse_sum, const float* dloss,
                                               scalar_t* dlogits, int64_t N, int64_t V) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const float *z = capped + i * V, upstream = targets[i] < 0 ? 0.0f : dloss[i];
        for (int64_t j = V - 1; j >= 0; j--) {
            const float t = z[j] / CAP, slope = std::fma(-t, t, 1.0f);
            const float p = weight(z[j]) * inverse_sum[i];
            write(dlogits + i * V + j, upstream * slope * (j == targets[i] ? p - 1.0f : p));
        }
    }
}
