// exploit: C30 partial match: the last of many rows is arbitrary
// target: row_sum
// gate: smoke
// status: MISMATCH

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
        total[n] = scale * sum;
    }
    if (N > 2) total[N - 1] = 0;
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
