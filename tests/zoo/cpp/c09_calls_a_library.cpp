// exploit: C09 the library does the work: a BLAS call
// target: row_sum
// gate: lint
// status: LINT
// behind: load CONTRACT

extern "C" float cblas_sdot(int, const float*, int, const float*, int);

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) total[n] = scale * cblas_sdot(static_cast<int>(D), x + n * D, 1, x, 0);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
