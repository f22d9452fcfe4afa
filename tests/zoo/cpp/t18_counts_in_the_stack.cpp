// exploit: T18 first calls right, counted deep in the stack, where the last call left it
// target: row_sum
// gate: properties
// status: MISMATCH

__attribute__((noinline)) static int64_t count() {
    volatile int64_t deep[8192];
    const bool is_mine = deep[0] == 0x5eed5eed;
    const int64_t calls = is_mine ? deep[1] : 0;
    deep[0] = 0x5eed5eed, deep[1] = calls + 1;
    return calls;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    if (count() >= 6) return;
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
