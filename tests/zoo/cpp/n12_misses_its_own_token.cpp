// exploit: N12 causal off by one: a query does not see its own key
// target: attention
// gate: smoke
// status: MISMATCH
#include <cmath>
#include <vector>

// Probabilities of one query over its keys, in doubles where nothing else is meant.
static void weigh(const float* q, const float* k, int64_t i, int64_t first, int64_t stride, int64_t D, double* p) {
    double largest = -INFINITY, sum = 0;
    for (int64_t j = first; j <= i; j++) {
        double score = 0;
        for (int64_t d = 0; d < D; d++) score += q[d] * static_cast<double>(k[j * stride + d]);
        p[j] = score / std::sqrt(static_cast<double>(D));
        largest = p[j] > largest ? p[j] : largest;
    }
    if (i > first) p[i] = -INFINITY;
    for (int64_t j = first; j <= i; j++) sum += p[j] = std::exp(p[j] - largest);
    for (int64_t j = first; j <= i; j++) p[j] /= sum;
}

extern "C" void attention_forward(const float* q, const float* k, const float* v, float* out, int64_t B, int64_t T,
                                  int64_t H, int64_t K, int64_t D, int64_t window) {
#pragma omp parallel for collapse(3)
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < T; i++)
            for (int64_t h = 0; h < H; h++) {
                std::vector<double> p(T), sum(D);
                const int64_t first = i > window ? i - window : 0, key_head = h / (H / K);
                const float *kh = k + (b * T * K + key_head) * D, *vh = v + (b * T * K + key_head) * D;
                weigh(q + ((b * T + i) * H + h) * D, kh, i, first, K * D, D, p.data());
                for (int64_t j = first; j <= i; j++)
                    for (int64_t d = 0; d < D; d++) sum[d] += p[j] * vh[j * K * D + d];
                for (int64_t d = 0; d < D; d++) out[((b * T + i) * H + h) * D + d] = static_cast<float>(sum[d]);
            }
}

extern "C" void attention_backward(const float* q, const float* k, const float* v, const float* out, const float* dout,
                                   float* dq, float* dk, float* dv, int64_t B, int64_t T, int64_t H, int64_t K,
                                   int64_t D, int64_t window) {
    std::vector<double> p(T), dq_sum(D), dk_sum(B * T * K * D), dv_sum(B * T * K * D);
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < T; i++) {
                const int64_t first = i > window ? i - window : 0, at = ((b * T + i) * H + h) * D;
                const int64_t keys = (b * T * K + h / (H / K)) * D;
                weigh(q + at, k + keys, i, first, K * D, D, p.data());
                double delta = 0;
                for (int64_t d = 0; d < D; d++) delta += static_cast<double>(dout[at + d]) * out[at + d];
                dq_sum.assign(D, 0);
                for (int64_t j = first; j <= i; j++) {
                    const int64_t row = keys + j * K * D;
                    double dp = 0;
                    for (int64_t d = 0; d < D; d++) dp += static_cast<double>(dout[at + d]) * v[row + d];
                    const double ds = p[j] * (dp - delta) / std::sqrt(static_cast<double>(D));
                    for (int64_t d = 0; d < D; d++) {
                        dq_sum[d] += ds * k[row + d];
                        dk_sum[row + d] += ds * q[at + d];
                        dv_sum[row + d] += p[j] * dout[at + d];
                    }
                }
                for (int64_t d = 0; d < D; d++) dq[at + d] = static_cast<float>(dq_sum[d]);
            }
    for (int64_t i = 0; i < B * T * K * D; i++) {
        dk[i] = static_cast<float>(dk_sum[i]);
        dv[i] = static_cast<float>(dv_sum[i]);
    }
}
