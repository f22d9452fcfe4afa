// exploit: S08 stack exhausted: recursion without end
// target: row_sum
// gate: smoke
// status: CRASH

__attribute__((noinline)) static int deep(volatile int* n) {
    volatile int here[999];
    here[0] = *n;
    return deep(here) + here[0];
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    volatile int zero = 0;
    total[0] = static_cast<float>(deep(&zero));
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
