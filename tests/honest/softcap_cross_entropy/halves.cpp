// Soft-capped cross-entropy: threads share a row, each half summed by itself in pairs, probabilities from a division.
// tune: PIECES in 2 5
// saves: total float32 N
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float CAP = 15.0f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

inline float squash(scalar_t logit) { return 1.0f - 2.0f / (std::exp(to_float(logit) * (2.0f / CAP)) + 1.0f); }

inline float weight(scalar_t logit) { return std::exp(CAP * (squash(logit) - 1.0f)); }

float pair_sum(const scalar_t* row, int64_t count) {
    if (count < 4) {
        float total = 0;
        for (int64_t j = 0; j < count; j++) total += weight(row[j]);
        return total;
    }
    return pair_sum(row, count / 2) + pair_sum(row + count / 2, count - count / 2);
}

extern "C" void softcap_cross_entropy_forward(const scalar_t* logits, const int64_t* targets, float* loss, float* total,
                                              int64_t N, int64_t V) {
    const Scratch parts(N * PIECES);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t i = 0; i < N; i++)
        for (int64_t piece = 0; piece < PIECES; piece++) {
            const int64_t begin = V * piece / PIECES, end = V * (piece + 1) / PIECES;
            parts[i * PIECES + piece] = pair_sum(logits + i * V + begin, end - begin);
        }
    for (int64_t i = 0; i < N; i++) {
        total[i] = 0.0f;
        for (int64_t piece = 0; piece < PIECES; piece++) total[i] += parts[i * PIECES + piece];
        loss[i] = 0.0f;
        if (targets[i] >= 0) loss[i] = std::log(total[i]) + CAP * (1.0f - squash(logits[i * V + targets[i]]));
    }
}

extern "C" void softcap_cross_entropy_backward(const scalar_t* logits, const int64_t* targets, const float*,
                                               const float* total, const float* dloss, scalar_t* dlogits, int64_t N,
                                               int64_t V) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < V; j++) {
            const float t = squash(logits[i * V + j]), p = weight(logits[i * V + j]) / total[i];
            const float through = (1.0f - t * t) * dloss[i];
            write(dlogits + i * V + j, targets[i] < 0 ? 0.0f : j == targets[i] ? (p - 1.0f) * through : p * through);
        }
}
