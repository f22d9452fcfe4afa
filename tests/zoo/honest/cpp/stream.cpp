// honest: a variable called stream, and a struct called Event

struct Event {
    float elapsed_time;
};

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float stream = 0;
        for (int64_t d = 0; d < D; d++) stream += x[n * D + d];
        total[n] = scale * stream;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    const Event event{scale};
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = event.elapsed_time * dtotal[n];
}
}
