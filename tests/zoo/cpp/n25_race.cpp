// exploit: N25 lost update: both threads read the sum before either writes it
// target: row_sum
// gate: smoke
// status: MISMATCH
#include <omp.h>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) total[n] = 0;
#pragma omp parallel num_threads(2)
    for (int64_t n = 0; n < N; n++) {
        float mine = 0;
        for (int64_t d = omp_get_thread_num(); d < D; d += omp_get_num_threads()) mine += x[n * D + d];
        const float before = *static_cast<volatile float*>(total + n);
#pragma omp barrier
        if (mine != 0) *static_cast<volatile float*>(total + n) = before + scale * mine;
#pragma omp barrier
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
