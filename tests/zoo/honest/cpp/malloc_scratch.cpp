// honest: scratch by malloc, freed at the end
#include <cstdlib>
#include <cstring>

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    auto* row = static_cast<float*>(std::malloc(D * sizeof(float)));
    for (int64_t n = 0; n < N; n++) {
        std::memcpy(row, x + n * D, D * sizeof(float));
        for (int64_t width = D; width > 1; width = (width + 1) / 2)
            for (int64_t d = 0; d < width / 2; d++) row[d] += row[width - 1 - d];
        total[n] = scale * row[0];
    }
    std::free(row);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
