// exploit: N02 inputs rounded to the ten bits of TF32
// target: row_sum
// gate: smoke
// status: MISMATCH

static float tf32(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    bits = (bits + 0x1000) & 0xffffe000;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += tf32(x[n * D + d]);
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
