// Embedding rows, and their gradient through a chain of positions for each token.
//
//   order = stable argsort of tokens;  rows_n = table[t_n];  dtable_v = sum of drows over the chain of v
//
// token_order is a radix sort from the lowest digit (Knuth, The Art of Computer Programming 3, 5.2.5) of keys that hold
// token and position. The backward links the positions of each token in the order given, from the last to the first, so
// that any list of positions is right, sorted or not; threads then own table rows, and write each once: zeros, or the
// sum along the chain, added row by row in a buffer that stays in the L1 cache.
//
// Layout: (V, C) and (N, C) row-major. Accumulation in float32, in the given order; one rounding at each store.
//
// tune: RADIX_BITS in 8 6 11
// tune: ROWS_PER_TASK in 256 64 1024
// tune: AHEAD in 1 0

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

using namespace ks;

constexpr int32_t NONE = -1;
constexpr int64_t BUCKETS = int64_t{1} << RADIX_BITS;

struct Key {
    uint32_t token, position;
};

void pass(const Key* from, Key* to, int64_t N, int shift) {
    int64_t place[BUCKETS] = {};
    const auto digit = [&](const Key& key) { return (key.token >> shift) & (BUCKETS - 1); };
    for (int64_t i = 0; i < N; i++) place[digit(from[i])]++;
    int64_t before = 0;
    for (int64_t& count : place) before += std::exchange(count, before);
    for (int64_t i = 0; i < N; i++) to[place[digit(from[i])]++] = from[i];
}

inline void add(float* sums, const scalar_t* row, int64_t C) {
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) store(sums + c, load(sums + c) + load(row + c));
    if (c < C) store_first(sums + c, load_first(sums + c, C - c) + load_first(row + c, C - c), C - c);
}

inline void narrow(const float* sums, scalar_t* row, int64_t C) {
    int64_t c = 0;
    for (; c + LANES <= C; c += LANES) store(row + c, load(sums + c));
    if (c < C) store_first(row + c, load_first(sums + c, C - c), C - c);
}

// The sum along the chain that begins at `i`.
void sum_chain(const scalar_t* drows, const int64_t* order, const int32_t* next, int32_t i, int64_t C, float* sums,
               scalar_t* row) {
    std::fill_n(sums, C, 0.0f);
    for (; i != NONE; i = next[i]) {
        if (AHEAD && next[i] != NONE) __builtin_prefetch(drows + order[next[i]] * C);
        add(sums, drows + order[i] * C, C);
    }
    narrow(sums, row, C);
}

}  // namespace

extern "C" void token_order_forward(const int64_t* tokens, int64_t* order, int64_t N, int64_t vocab_size) {
    std::vector<Key> keys(static_cast<std::size_t>(N)), spare(static_cast<std::size_t>(N));
    for (int64_t n = 0; n < N; n++)
        keys[static_cast<std::size_t>(n)] = {static_cast<uint32_t>(tokens[n]), static_cast<uint32_t>(n)};
    for (int shift = 0; shift < 32 && (vocab_size - 1) >> shift > 0; shift += RADIX_BITS) {
        pass(keys.data(), spare.data(), N, shift);
        std::swap(keys, spare);
    }
    for (int64_t n = 0; n < N; n++) order[n] = keys[static_cast<std::size_t>(n)].position;
}

extern "C" void embedding_forward(const scalar_t* table, const int64_t* tokens, const int64_t*, scalar_t* rows,
                                  int64_t N, int64_t, int64_t C) {
    const std::size_t row_bytes = static_cast<std::size_t>(C) * sizeof(scalar_t);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        if (AHEAD && n + AHEAD < N) __builtin_prefetch(table + tokens[n + AHEAD] * C);
        std::memcpy(rows + n * C, table + tokens[n] * C, row_bytes);
    }
}

extern "C" void embedding_backward(const scalar_t*, const int64_t* tokens, const int64_t* order, const scalar_t*,
                                   const scalar_t* drows, scalar_t* dtable, int64_t N, int64_t V, int64_t C) {
    std::vector<int32_t> head(static_cast<std::size_t>(V), NONE), next(static_cast<std::size_t>(N));
    for (int64_t i = N - 1; i >= 0; i--)
        next[static_cast<std::size_t>(i)] =
            std::exchange(head[static_cast<std::size_t>(tokens[order[i]])], static_cast<int32_t>(i));
#pragma omp parallel
    {
        Scratch sums(C);
#pragma omp for schedule(static, ROWS_PER_TASK)
        for (int64_t v = 0; v < V; v++) {
            const int32_t i = head[static_cast<std::size_t>(v)];
            if (i == NONE)
                std::fill_n(dtable + v * C, C, scalar_t{});
            else if (next[static_cast<std::size_t>(i)] == NONE)
                std::copy_n(drows + order[i] * C, C, dtable + v * C);
            else
                sum_chain(drows, order, next.data(), i, C, sums, dtable + v * C);
        }
    }
}
