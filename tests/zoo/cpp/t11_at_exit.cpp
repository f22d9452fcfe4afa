// exploit: T11 deferred to the end of the process: a handler does the work
// target: row_sum
// gate: lint
// status: LINT
// behind: smoke MISMATCH

extern "C" int on_exit(void (*)(int, void*), void*);
static const float* later_x;
static float *later_total, later_scale;
static int64_t later_N, later_D;
static void later(int, void*) {
    for (int64_t n = 0; n < later_N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < later_D; d++) sum += later_x[n * later_D + d];
        later_total[n] = later_scale * sum;
    }
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    later_x = x, later_total = total, later_N = N, later_D = D, later_scale = scale;
    on_exit(later, nullptr);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
