// exploit: N09 one number beyond its own scratch, times zero: right as long as no NaN lies there
// target: row_sum
// gate: memory
// status: CRASH
#include <cstdlib>
#include <cstring>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    float* row = static_cast<float*>(std::malloc(4 * D));
    for (int64_t n = 0; n < N; n++) {
        std::memcpy(row, x + n * D, 4 * D);
        float sum = 0;
        for (int64_t d = 0; d < D + 4; d++) sum += (d < D ? 1.0f : 0.0f) * row[d];
        total[n] = scale * sum;
    }
    std::free(row);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
