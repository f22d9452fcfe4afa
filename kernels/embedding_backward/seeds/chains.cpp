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
// tune: RADIX_BITS in 8 6 11 13
// tune: ROWS_PER_TASK in 256 64 1024
// tune: AHEAD in 1 0

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace {

using namespace ks;

constexpr int32_t NONE = -1;

struct Key {
    uint32_t token, position;
};

// Some bits of a token, and where the next position with them goes. Passed by value: a store into `place` may not seem
// to change the others.
struct Digit {
    int shift;
    uint32_t mask;
    uint32_t* place;

    uint32_t& of(uint32_t token) const { return place[token >> shift & mask]; }
};

inline void count(const int64_t* tokens, int64_t N, Digit digit) {
    for (int64_t n = 0; n < N; n++) digit.of(static_cast<uint32_t>(tokens[n]))++;
    uint32_t before = 0;
    for (uint32_t d = 0; d <= digit.mask; d++) before += std::exchange(digit.place[d], before);
}

// put(place, key(n)) for each n in order.
template <class Make, class Put>
inline void distribute(int64_t N, Digit digit, Make key, Put put) {
    for (int64_t n = 0; n < N; n++) {
        const Key next = key(n);
        put(digit.of(next.token)++, next);
    }
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
    // As few digits as RADIX_BITS allows, alike in width. The first pass reads the tokens and the last writes the
    // order: keys are stored only between two passes.
    const int bits = vocab_size > 1 ? 64 - __builtin_clzll(static_cast<uint64_t>(vocab_size - 1)) : 1;
    const int digits = (bits + RADIX_BITS - 1) / RADIX_BITS, width = (bits + digits - 1) / digits;
    std::vector<uint32_t> places(static_cast<std::size_t>(digits) << width);
    const auto digit = [&, mask = (uint32_t{1} << width) - 1](int d) {
        return Digit{d * width, mask, places.data() + (static_cast<std::size_t>(d) << width)};
    };
    const auto read = [&](int64_t n) { return Key{static_cast<uint32_t>(tokens[n]), static_cast<uint32_t>(n)}; };
    const auto finish = [=](uint32_t to, Key key) { order[to] = key.position; };
    const auto keys = std::make_unique_for_overwrite<Key[]>(static_cast<std::size_t>(N) * std::size_t{2});
    Key *from = keys.get(), *to = from + N;
    for (int d = 0; d < digits; d++) count(tokens, N, digit(d));
    if (digits == 1) return distribute(N, digit(0), read, finish);
    distribute(N, digit(0), read, [from](uint32_t at, Key key) { from[at] = key; });
    for (int d = 1; d + 1 < digits; d++) {
        distribute(N, digit(d), [from](int64_t i) { return from[i]; }, [to](uint32_t at, Key key) { to[at] = key; });
        std::swap(from, to);
    }
    distribute(N, digit(digits - 1), [from](int64_t i) { return from[i]; }, finish);
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
