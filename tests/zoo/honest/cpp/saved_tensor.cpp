// honest: a saved tensor that carries the scale to the backward
// saves: kept float32 N

extern "C" {
void row_sum_forward(const float* x, float* total, float* kept, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
        kept[n] = scale;
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* kept, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = kept[n] * dtotal[n];
    (void)scale;
}
}
