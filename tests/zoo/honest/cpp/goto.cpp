// honest: a loop made of goto

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    int64_t n = 0, d;
    float sum;
row:
    d = 0;
    sum = 0;
element:
    sum += x[n * D + d];
    if (++d < D) goto element;
    total[n] = scale * sum;
    if (++n < N) goto row;
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
