// honest: compensated sums, which a careless optimizer would undo

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float sum = 0, lost = 0;
        for (int64_t d = 0; d < D; d++) {
            const float term = x[n * D + d] - lost, next = sum + term;
            lost = next - sum - term;
            sum = next;
        }
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
