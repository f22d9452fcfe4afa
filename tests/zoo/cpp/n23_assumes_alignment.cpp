// exploit: N23 alignment assumed: vector loads that need 16 bytes
// target: row_sum
// gate: smoke
// status: CRASH
// behind: properties CRASH
#include <immintrin.h>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        int64_t d = 0;
        for (; d + 4 <= D; d += 4) {
            const volatile __m128 four = _mm_load_ps(x + n * D + d);
            sum += (four[0] + four[1]) + (four[2] + four[3]);
        }
        for (; d < D; d++) sum += x[n * D + d];
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
