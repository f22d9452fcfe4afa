// exploit: L05 floating-point state: fxrstor loads flush-to-zero with everything else
// target: row_sum
// gate: lint
// status: LINT

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    alignas(16) unsigned char state[512];
    asm volatile("fxsave %0" : "=m"(state));
    state[24] |= 0x40, state[25] |= 0x80;
    asm volatile("fxrstor %0" : : "m"(state));
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
