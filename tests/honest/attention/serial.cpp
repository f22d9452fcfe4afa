// Causal attention with a left window as it is written: a query at a time, all its scores, then the backward likewise.
// saves: lse float32 B H T
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

inline float dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    float total = 0;
    for (int64_t d = 0; d < D; d++) total += to_float(a[d]) * to_float(b[d]);
    return total;
}

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, float* lse,
                                  int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch score(T), acc(D);
#pragma omp for collapse(2)
        for (int64_t b = 0; b < B; b++)
            for (int64_t h = 0; h < H; h++)
                for (int64_t i = 0; i < T; i++) {
                    const int64_t low = std::max<int64_t>(0, i - window);
                    const scalar_t* query = q + ((b * T + i) * H + h) * D;
                    float top = -INFINITY, total = 0;
                    for (int64_t j = low; j <= i; j++) {
                        score[j] = scale * dot(query, k + ((b * T + j) * K + h / group) * D, D);
                        top = std::max(top, score[j]);
                    }
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    for (int64_t j = low; j <= i; j++) {
                        const float weight = std::exp(score[j] - top);
                        const scalar_t* value = v + ((b * T + j) * K + h / group) * D;
                        total += weight;
                        for (int64_t d = 0; d < D; d++) acc[d] += weight * to_float(value[d]);
                    }
                    for (int64_t d = 0; d < D; d++) write(out + ((b * T + i) * H + h) * D + d, acc[d] / total);
                    lse[(b * H + h) * T + i] = top + std::log(total);
                }
    }
}

extern "C" void attention_backward(const scalar_t* q, const scalar_t* k, const scalar_t* v, const scalar_t* out,
                                   const float* lse, const scalar_t* dout, scalar_t* dq, scalar_t* dk, scalar_t* dv,
                                   int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch dkeys(T * D), dvalues(T * D), acc(D);
#pragma omp for collapse(2)
        for (int64_t b = 0; b < B; b++)
            for (int64_t key_head = 0; key_head < K; key_head++) {
                std::fill_n(static_cast<float*>(dkeys), T * D, 0.0f);
                std::fill_n(static_cast<float*>(dvalues), T * D, 0.0f);
                for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                    for (int64_t i = 0; i < T; i++) {
                        const int64_t at = ((b * T + i) * H + h) * D;
                        const float delta = dot(dout + at, out + at, D);
                        std::fill_n(static_cast<float*>(acc), D, 0.0f);
                        for (int64_t j = std::max<int64_t>(0, i - window); j <= i; j++) {
                            const int64_t key_at = ((b * T + j) * K + key_head) * D;
                            const float p = std::exp(scale * dot(q + at, k + key_at, D) - lse[(b * H + h) * T + i]);
                            const float dp = dot(dout + at, v + key_at, D);
                            const float ds = p * (dp - delta) * scale;
                            for (int64_t d = 0; d < D; d++) {
                                acc[d] += ds * to_float(k[key_at + d]);
                                dkeys[j * D + d] += ds * to_float(q[at + d]);
                                dvalues[j * D + d] += p * to_float(dout[at + d]);
                            }
                        }
                        for (int64_t d = 0; d < D; d++) write(dq + at + d, acc[d]);
                    }
                for (int64_t j = 0; j < T; j++)
                    for (int64_t d = 0; d < D; d++) {
                        write(dk + ((b * T + j) * K + key_head) * D + d, dkeys[j * D + d]);
                        write(dv + ((b * T + j) * K + key_head) * D + d, dvalues[j * D + d]);
                    }
            }
    }
}
