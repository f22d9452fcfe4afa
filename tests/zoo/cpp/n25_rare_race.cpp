// exploit: N25 race that hardly ever strikes: both threads add to one number without a lock, once a call each
// target: row_sum
// gate: memory or smoke or properties or ladder or search or determinism or soak
// status: DETERMINISM or MISMATCH or PROPERTY or GRADIENT

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    float checksum = 0;
#pragma omp parallel
    {
        float mine = 0;
#pragma omp for
        for (int64_t n = 0; n < N; n++) {
            float sum = 0;
            for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
            total[n] = scale * sum;
            mine += 1;
        }
        checksum += mine;
    }
    for (int64_t n = static_cast<int64_t>(checksum); n < N; n++) total[n] = 0;
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
