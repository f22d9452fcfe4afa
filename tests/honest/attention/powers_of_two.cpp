// Causal attention with a left window: softmax in base 2, dot products and sums in float64, probabilities normalised
// before the product with the values; nothing is saved, the backward computes the statistics again.
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float LOG2_E = 1.44269504f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

inline double dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    double total = 0;
    for (int64_t d = D - 1; d >= 0; d--) total += static_cast<double>(to_float(a[d])) * to_float(b[d]);
    return total;
}

// Probabilities of the keys low..i for one query whose first key is at `keys`, key rows `step` elements apart.
void probabilities(const scalar_t* query, const scalar_t* keys, int64_t step, int64_t low, int64_t i, int64_t D,
                   float* p) {
    const double scale = LOG2_E / std::sqrt(static_cast<double>(D));
    float top = -INFINITY;
    for (int64_t j = low; j <= i; j++) {
        p[j] = static_cast<float>(dot(query, keys + j * step, D) * scale);
        top = std::max(top, p[j]);
    }
    double total = 0;
    for (int64_t j = i; j >= low; j--) {
        p[j] = std::exp2(p[j] - top);
        total += p[j];
    }
    for (int64_t j = low; j <= i; j++) p[j] = static_cast<float>(p[j] / total);
}

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, int64_t B,
                                  int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch p(T), acc(D);
#pragma omp for collapse(3)
        for (int64_t b = 0; b < B; b++)
            for (int64_t h = 0; h < H; h++)
                for (int64_t i = 0; i < T; i++) {
                    const int64_t at = ((b * T + i) * H + h) * D, low = std::max<int64_t>(0, i - window);
                    const int64_t head = (b * T * K + h / group) * D;
                    probabilities(q + at, k + head, K * D, low, i, D, p);
                    std::fill_n(static_cast<float*>(acc), D, 0.0f);
                    for (int64_t j = low; j <= i; j++)
                        for (int64_t d = 0; d < D; d++) acc[d] += p[j] * to_float(v[head + j * K * D + d]);
                    for (int64_t d = 0; d < D; d++) write(out + at + d, acc[d]);
                }
    }
}

extern "C" void attention_backward(const scalar_t* q, const scalar_t* k, const scalar_t* v, const scalar_t*,
                                   const scalar_t* dout, scalar_t* dq, scalar_t* dk, scalar_t* dv, int64_t B, int64_t T,
                                   int64_t H, int64_t K, int64_t D, int64_t window) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
    const int64_t group = H / K;
#pragma omp parallel
    {
        const Scratch p(T), dp(T), acc(D), dkeys(T * D), dvalues(T * D);
#pragma omp for collapse(2)
        for (int64_t b = 0; b < B; b++)
            for (int64_t key_head = 0; key_head < K; key_head++) {
                const int64_t head = (b * T * K + key_head) * D;
                std::fill_n(static_cast<float*>(dkeys), T * D, 0.0f);
                std::fill_n(static_cast<float*>(dvalues), T * D, 0.0f);
                for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                    for (int64_t i = T - 1; i >= 0; i--) {
                        const int64_t at = ((b * T + i) * H + h) * D, low = std::max<int64_t>(0, i - window);
                        probabilities(q + at, k + head, K * D, low, i, D, p);
                        double delta = 0;
                        for (int64_t j = low; j <= i; j++) {
                            dp[j] = static_cast<float>(dot(dout + at, v + head + j * K * D, D));
                            delta += static_cast<double>(p[j]) * dp[j];
                        }
                        std::fill_n(static_cast<float*>(acc), D, 0.0f);
                        for (int64_t j = low; j <= i; j++) {
                            const float ds = p[j] * static_cast<float>(dp[j] - delta) * scale;
                            for (int64_t d = 0; d < D; d++) {
                                acc[d] += ds * to_float(k[head + j * K * D + d]);
                                dkeys[j * D + d] += ds * to_float(q[at + d]);
                                dvalues[j * D + d] += p[j] * to_float(dout[at + d]);
                            }
                        }
                        for (int64_t d = 0; d < D; d++) write(dq + at + d, acc[d]);
                    }
                for (int64_t j = 0; j < T; j++)
                    for (int64_t d = 0; d < D; d++) {
                        write(dk + head + j * K * D + d, dkeys[j * D + d]);
                        write(dv + head + j * K * D + d, dvalues[j * D + d]);
                    }
            }
    }
}
