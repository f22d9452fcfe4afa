// honest: std::vector as scratch
#include <vector>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    std::vector<double> sums(N);
    for (int64_t d = 0; d < D; d++)
        for (int64_t n = 0; n < N; n++) sums[n] += x[n * D + d];
    for (int64_t n = 0; n < N; n++) total[n] = static_cast<float>(scale * sums[n]);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
