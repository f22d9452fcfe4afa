// Soft-capped cross-entropy: LANES running maxima and sums over one sweep, merged at the end; the backward recomputes.
// tune: FROM_THE_END in 0 1
// saves: lse float32 N
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float CAP = 15.0f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

float log_sum(const scalar_t* row, int64_t V) {
    Vec top = broadcast(-2.0f * CAP), total = {};
    for (int64_t step = 0; step < V; step += LANES) {
        const int64_t j = FROM_THE_END ? (V - 1) / LANES * LANES - step : step;
        const int64_t count = std::min<int64_t>(LANES, V - j);
        const Vec z = tanh((count == LANES ? load(row + j) : load_first(row + j, count)) * (1.0f / CAP)) * CAP;
        const Vec raised = max(top, z);
        total = total * exp(top - raised) + keep_first(exp(z - raised), count);
        top = raised;
    }
    float highest = top[0];
    for (int lane = 1; lane < LANES; lane++) highest = std::max(highest, top[lane]);
    return highest + std::log(sum(total * exp(top - highest)));
}

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss, float* lse,
                                              int64_t N, int64_t V) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < N; i++) {
        lse[i] = 0.0f;
        loss[i] = 0.0f;
        if (targets[i] < 0) continue;
        lse[i] = log_sum(logits + i * V, V);
        loss[i] = lse[i] - CAP * std::tanh(to_float(logits[i * V + targets[i]]) / CAP);
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t* logits, const int64_t* targets, const float*,
                                               const float* lse, const float* dloss, scalar_t* dlogits, int64_t N,
                                               int64_t V) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < N; i++) {
        if (targets[i] < 0) {
            std::fill_n(dlogits + i * V, V, scalar_t{});
            continue;
        }
        for (int64_t j = 0; j < V; j++) {
            const float t = std::tanh(to_float(logits[i * V + j]) / CAP), p = std::exp(CAP * t - lse[i]);
            const float hot = j == targets[i] ? 1.0f : 0.0f;
            write(dlogits + i * V + j, (p - hot) * (1.0f - t) * (1.0f + t) * dloss[i]);
        }
    }
}
