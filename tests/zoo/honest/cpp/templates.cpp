// honest: templates, lambdas and concepts

template <class F>
concept Element = requires(F f) { f(int64_t{0}); };
template <int64_t LANES>
static float add(int64_t count, Element auto element) {
    float parts[LANES] = {};
    for (int64_t i = 0; i < count; i++) parts[i % LANES] += element(i);
    float sum = 0;
    for (const float part : parts) sum += part;
    return sum;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) total[n] = scale * add<4>(D, [&](int64_t d) { return x[n * D + d]; });
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
