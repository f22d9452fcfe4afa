// honest: tiles masked by a product with zero

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float parts[8] = {};
        for (int64_t d = 0; d < D; d += 8)
            for (int64_t u = 0; u < 8; u++) parts[u] += x[n * D + (d + u < D ? d + u : D - 1)] * (d + u < D ? 1.0f : 0.0f);
        total[n] = scale * (((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7])));
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
