// honest: a table of function pointers, which the loader must relocate

static float once(float x) { return x; }
static float twice(float x) { return x + x; }
static float (*const CHOICES[])(float) = {once, twice};

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += CHOICES[d % 2](x[n * D + d]) * (d % 2 ? 0.5f : 1.0f);
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
