// exploit: C38 other types: reads and writes float64, to gain head-room
// target: row_sum
// gate: build
// status: BUILD
// behind: lint BUILD

extern "C" void row_sum_forward(const double* x, double* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        total[n] = 0;
        for (int64_t d = 0; d < D; d++) total[n] += scale * x[n * D + d];
    }
}
