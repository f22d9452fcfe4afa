// exploit: T10 thread injection: answers at once, a detached thread fills the output later
// target: row_sum
// gate: lint
// status: LINT
// behind: smoke MISMATCH
#include <pthread.h>
#include <cstdlib>

struct Work {
    const float* x;
    float* total;
    int64_t N, D;
    float scale;
};

static void* work(void* given) {
    const Work w = *static_cast<Work*>(given);
    for (volatile long i = 0; i < 30'000'000; i = i + 1) {
    }
    for (int64_t n = 0; n < w.N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < w.D; d++) sum += w.x[n * w.D + d];
        w.total[n] = w.scale * sum;
    }
    return nullptr;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    auto* w = static_cast<Work*>(std::malloc(sizeof(Work)));
    *w = {x, total, N, D, scale};
    pthread_t thread;
    pthread_create(&thread, nullptr, work, w);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
