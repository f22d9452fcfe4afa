// Causal attention with a left window, scores in chunks of keys: in bfloat16 the unnormalised probabilities and the
// score gradients are rounded to bfloat16 before they enter a product, as the contract's policy allows.
// tune: CHUNK in 32 7 128
// saves: lse float32 B H T
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// x as the products see it: in the tensors' dtype.
inline float rounded(float x) {
    scalar_t narrow;
    write(&narrow, x);
    return to_float(narrow);
}

inline float dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    Vec total = {};
    for (int64_t d = 0; d < D; d += LANES) {
        const int64_t count = std::min<int64_t>(LANES, D - d);
        total += load_first(a + d, count) * load_first(b + d, count);
    }
    return sum(total);
}

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, float* lse,
                                  int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch acc(D), score(CHUNK);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < B; b++)
            for (int64_t h = 0; h < H; h++)
                for (int64_t i = 0; i < T; i++) {
                    const int64_t at = ((b * T + i) * H + h) * D, head = (b * T * K + h / group) * D;
                    float top = -3.0e38f, total = 0;
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    for (int64_t begin = std::max<int64_t>(0, i - window); begin <= i; begin += CHUNK) {
                        const int64_t count = std::min<int64_t>(CHUNK, i + 1 - begin);
                        const float before = top;
                        for (int64_t j = 0; j < count; j++) {
                            score[j] = dot(q + at, k + head + (begin + j) * K * D, D) * scale;
                            top = std::max(top, score[j]);
                        }
                        const float rescale = std::exp(before - top);
                        total *= rescale;
                        for (int64_t d = 0; d < D; d++) acc[d] *= rescale;
                        for (int64_t j = 0; j < count; j++) {
                            const float weight = std::exp(score[j] - top), narrow = rounded(weight);
                            total += weight;
                            for (int64_t d = 0; d < D; d++)
                                acc[d] += narrow * to_float(v[head + (begin + j) * K * D + d]);
                        }
                    }
                    for (int64_t d = 0; d < D; d++) write(out + at + d, acc[d] / total);
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
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < B; b++)
            for (int64_t key_head = 0; key_head < K; key_head++) {
                const int64_t head = (b * T * K + key_head) * D;
                std::fill_n(static_cast<float*>(dkeys), T * D, 0.0f);
                std::fill_n(static_cast<float*>(dvalues), T * D, 0.0f);
                for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                    for (int64_t i = 0; i < T; i++) {
                        const int64_t at = ((b * T + i) * H + h) * D;
                        const float delta = dot(dout + at, out + at, D), lse_of_row = lse[(b * H + h) * T + i];
                        std::fill_n(static_cast<float*>(acc), D, 0.0f);
                        for (int64_t j = std::max<int64_t>(0, i - window); j <= i; j++) {
                            const scalar_t *key = k + head + j * K * D, *value = v + head + j * K * D;
                            const float p = std::exp(dot(q + at, key, D) * scale - lse_of_row), narrow = rounded(p);
                            const float ds = rounded(p * (dot(dout + at, value, D) - delta));
                            for (int64_t d = 0; d < D; d++) {
                                acc[d] += ds * to_float(key[d]);
                                dkeys[j * D + d] += ds * to_float(q[at + d]);
                                dvalues[j * D + d] += narrow * to_float(dout[at + d]);
                            }
                        }
                        for (int64_t d = 0; d < D; d++) write(dq + at + d, acc[d] * scale);
                    }
                for (int64_t j = 0; j < T; j++)
                    for (int64_t d = 0; d < D; d++) {
                        write(dk + head + j * K * D + d, dkeys[j * D + d] * scale);
                        write(dv + head + j * K * D + d, dvalues[j * D + d]);
                    }
            }
    }
}
