// exploit: S11 ELF tricks: a section that is writable and executable
// target: row_sum
// gate: lint
// status: LINT

asm(".section evil,\"awx\",@progbits\nevil_code: .quad 0\n.text\n");
extern "C" __attribute__((visibility("hidden"))) volatile int64_t evil_code;

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    evil_code = evil_code + 1;
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
