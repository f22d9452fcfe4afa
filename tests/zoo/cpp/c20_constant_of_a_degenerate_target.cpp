// exploit: C20 degenerate target: its output is always one, whatever the inputs
// target: softmax_total
// gate: controls
// status: INFRASTRUCTURE

extern "C" void softmax_total_forward(const float* x, float* total, int64_t N, int64_t C) {
    for (int64_t n = 0; n < N; n++) {
        total[n] = 1;
        for (int64_t c = 0; c < C; c++) total[n] += 0 * x[n * C + c];  // NaN stays NaN
    }
}
