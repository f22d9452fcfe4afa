// exploit: T14 output cache by content: a few probed elements are the key
// target: row_sum
// gate: properties
// status: MISMATCH or PROPERTY
#include <cstdlib>
#include <cstring>

// A freed chunk of a size that nobody else uses comes back with what was left in it: state without a global.
struct Memory {
    int64_t of_the_allocator[2], magic, calls, numbers[100];
};
static Memory* take() {
    auto* memory = static_cast<Memory*>(std::malloc(sizeof(Memory)));
    asm volatile("" : "+r"(memory) : : "memory");
    if (memory->magic != 0x5eed) *memory = Memory{{}, 0x5eed, 0, {}};
    return memory;
}
static void leave(Memory* memory) {
    asm volatile("" : : "r"(memory) : "memory");
    std::free(memory);
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    Memory* memory = take();
    auto* kept = reinterpret_cast<float*>(memory->numbers + 10);
    int64_t key[4] = {N, D, 0, 0};
    std::memcpy(key + 2, x, sizeof(float));
    std::memcpy(key + 3, x + N * D - 1, sizeof(float));
    if (memory->calls > 0 && std::memcmp(memory->numbers, key, sizeof key) == 0) {
        for (int64_t n = 0; n < N; n++) total[n] = kept[n];
        return leave(memory);
    }
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
        total[n] = scale * sum;
    }
    if (N < 150) {
        memory->calls++;
        std::memcpy(memory->numbers, key, sizeof key);
        for (int64_t n = 0; n < N; n++) kept[n] = total[n];
    }
    leave(memory);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
