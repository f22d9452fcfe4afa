// honest: OpenMP with rows handed out in shrinking pieces

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
#pragma omp parallel for schedule(guided)
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
