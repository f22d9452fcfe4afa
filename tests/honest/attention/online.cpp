// Causal attention with a left window: online softmax key by key, from the oldest or the newest; the backward has one
// sweep with queries stationary for dQ and one with keys stationary for dK and dV.
// tune: NEWEST_FIRST in 0 1
// saves: top float32 B H T
// saves: total float32 B H T
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// Four interleaved sums, then those in pairs.
inline float dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    float parts[4] = {};
    for (int64_t d = 0; d < D; d++) parts[d % 4] += to_float(a[d]) * to_float(b[d]);
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, float* top,
                                  float* total, int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch acc(D);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < B; b++)
            for (int64_t h = 0; h < H; h++)
                for (int64_t i = 0; i < T; i++) {
                    const int64_t at = ((b * T + i) * H + h) * D, row = (b * H + h) * T + i;
                    const int64_t low = std::max<int64_t>(0, i - window);
                    float highest = -3.0e38f, sum = 0;
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    for (int64_t step = low; step <= i; step++) {
                        const int64_t j = NEWEST_FIRST ? i - (step - low) : step;
                        const int64_t key_at = ((b * T + j) * K + h / group) * D;
                        const float score = dot(q + at, k + key_at, D) * scale, raised = std::max(highest, score);
                        const float rescale = std::exp(highest - raised);
                        const float weight = std::exp(score - raised);
                        sum = sum * rescale + weight;
                        for (int64_t d = 0; d < D; d++) acc[d] = acc[d] * rescale + weight * to_float(v[key_at + d]);
                        highest = raised;
                    }
                    for (int64_t d = 0; d < D; d++) write(out + at + d, acc[d] * (1.0f / sum));
                    top[row] = highest;
                    total[row] = sum;
                }
    }
}

extern "C" void attention_backward(const scalar_t* q, const scalar_t* k, const scalar_t* v, const scalar_t* out,
                                   const float* top, const float* total, const scalar_t* dout, scalar_t* dq,
                                   scalar_t* dk, scalar_t* dv, int64_t B, int64_t T, int64_t H, int64_t K, int64_t D,
                                   int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
    const Scratch delta(B * H * T);
#pragma omp parallel
    {
        const Scratch acc(D), acc_v(D);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < B; b++)
            for (int64_t h = 0; h < H; h++)
                for (int64_t i = 0; i < T; i++) {
                    const int64_t at = ((b * T + i) * H + h) * D, row = (b * H + h) * T + i;
                    delta[row] = dot(dout + at, out + at, D);
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    for (int64_t j = std::max<int64_t>(0, i - window); j <= i; j++) {
                        const int64_t key_at = ((b * T + j) * K + h / group) * D;
                        const float p = std::exp(dot(q + at, k + key_at, D) * scale - top[row]) / total[row];
                        const float ds = p * (dot(dout + at, v + key_at, D) - delta[row]);
                        for (int64_t d = 0; d < D; d++) acc[d] += ds * to_float(k[key_at + d]);
                    }
                    for (int64_t d = 0; d < D; d++) write(dq + at + d, acc[d] * scale);
                }
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < B; b++)
            for (int64_t j = 0; j < T; j++)
                for (int64_t key_head = 0; key_head < K; key_head++) {
                    const int64_t key_at = ((b * T + j) * K + key_head) * D;
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    std::fill_n(static_cast<float*>(acc_v), D, 0.0f);
                    for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                        for (int64_t i = j; i < T && i - window <= j; i++) {
                            const int64_t at = ((b * T + i) * H + h) * D, row = (b * H + h) * T + i;
                            const float p = std::exp(dot(q + at, k + key_at, D) * scale - top[row]) / total[row];
                            const float ds = p * (dot(dout + at, v + key_at, D) - delta[row]);
                            for (int64_t d = 0; d < D; d++) {
                                acc[d] += ds * to_float(q[at + d]);
                                acc_v[d] += p * to_float(dout[at + d]);
                            }
                        }
                    for (int64_t d = 0; d < D; d++) {
                        write(dk + key_at + d, acc[d] * scale);
                        write(dv + key_at + d, acc_v[d]);
                    }
                }
    }
}
