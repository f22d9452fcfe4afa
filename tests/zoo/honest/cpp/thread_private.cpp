// honest: accumulators of each thread, added in the order of threads
#include <omp.h>
#include <vector>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    std::vector<float> parts(4 * N);
#pragma omp parallel for schedule(static) num_threads(2)
    for (int64_t part = 0; part < 4; part++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t d = part; d < D; d += 4) parts[part * N + n] += x[n * D + d];
    for (int64_t n = 0; n < N; n++) total[n] = scale * ((parts[n] + parts[N + n]) + (parts[2 * N + n] + parts[3 * N + n]));
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
