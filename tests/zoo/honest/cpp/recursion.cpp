// honest: pairwise sums by recursion

static float pairwise(const float* x, int64_t count) {
    if (count == 1) return x[0];
    return pairwise(x, count / 2) + pairwise(x + count / 2, count - count / 2);
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) total[n] = scale * pairwise(x + n * D, D);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
