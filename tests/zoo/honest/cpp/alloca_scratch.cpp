// honest: scratch on the stack, as large as a row

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        auto* row = static_cast<float*>(__builtin_alloca_with_align(0 + 64, 256));
        for (int64_t lane = 0; lane < 16; lane++) row[lane] = 0;
        for (int64_t d = 0; d < D; d++) row[d % 16] += x[n * D + d];
        float sum = 0;
        for (int64_t lane = 0; lane < 16; lane++) sum += row[lane];
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
