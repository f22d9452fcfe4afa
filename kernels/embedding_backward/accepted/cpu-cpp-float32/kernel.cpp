// embedding_forward and token_order_forward of chains.
// embedding_backward of segments.
// tune: from_chains_RADIX_BITS in 8 6 11
// tune: from_chains_ROWS_PER_TASK in 256 64 1024
// tune: from_chains_AHEAD in 1 0
// tune: from_segments_ROWS_PER_TASK in 128 32 512 2048
// tune: from_segments_UNROLL in 4 2 8 1
// tune: from_segments_STREAM_MIB in 16 64 4096

#include <kernelsearch/simd.h>
#include <algorithm>
#include <cstring>
#include <vector>

#define RADIX_BITS from_chains_RADIX_BITS
#define ROWS_PER_TASK from_chains_ROWS_PER_TASK
#define AHEAD from_chains_AHEAD
namespace from_chains {
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

extern "C" __attribute__((visibility("default"))) void token_order_forward(const int64_t* tokens, int64_t* order, int64_t N, int64_t vocab_size) {
    std::vector<Key> keys(static_cast<std::size_t>(N)), spare(static_cast<std::size_t>(N));
    for (int64_t n = 0; n < N; n++)
        keys[static_cast<std::size_t>(n)] = {static_cast<uint32_t>(tokens[n]), static_cast<uint32_t>(n)};
    for (int shift = 0; shift < 32 && (vocab_size - 1) >> shift > 0; shift += RADIX_BITS) {
        pass(keys.data(), spare.data(), N, shift);
        std::swap(keys, spare);
    }
    for (int64_t n = 0; n < N; n++) order[n] = keys[static_cast<std::size_t>(n)].position;
}

extern "C" __attribute__((visibility("default"))) void embedding_forward(const scalar_t* table, const int64_t* tokens, const int64_t*, scalar_t* rows,
                                  int64_t N, int64_t, int64_t C) {
    const std::size_t row_bytes = static_cast<std::size_t>(C) * sizeof(scalar_t);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) {
        if (AHEAD && n + AHEAD < N) __builtin_prefetch(table + tokens[n + AHEAD] * C);
        std::memcpy(rows + n * C, table + tokens[n] * C, row_bytes);
    }
}

[[maybe_unused]] static void embedding_backward(const scalar_t*, const int64_t* tokens, const int64_t* order, const scalar_t*,
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
}  // namespace from_chains
#undef RADIX_BITS
#undef ROWS_PER_TASK
#undef AHEAD

#define ROWS_PER_TASK from_segments_ROWS_PER_TASK
#define UNROLL from_segments_UNROLL
#define STREAM_MIB from_segments_STREAM_MIB
namespace from_segments {
// Embedding rows, and their gradient by walking the table and the sorted positions together.
//
//   order = stable argsort of tokens;  rows_n = table[t_n];  dtable_v = sum of drows over the segment of v in order
//
// token_order is a counting sort. In the backward a task owns some table rows, finds its first position by bisection
// and writes each row once: zeros between segments, a copy for a segment of one, else a sum kept in registers. An order
// that is not sorted is sorted first, by the same counting sort, so that any list of positions gives its sum.
//
// Layout: (V, C) and (N, C) row-major. Accumulation in float32, in the given order; one rounding at each store. Larger
// gradients than STREAM_MIB are written around the cache: nobody reads them before the optimizer.
//



namespace {

using namespace ks;

// Positions of `listed` (or 0..N-1 where it is null) by token, equal tokens as listed.
void sort_by_token(const int64_t* tokens, const int64_t* listed, int64_t N, int64_t V, int64_t* order) {
    std::vector<int32_t> place(static_cast<std::size_t>(V + 1));
    for (int64_t i = 0; i < N; i++) place[static_cast<std::size_t>(tokens[listed ? listed[i] : i] + 1)]++;
    int32_t before = 0;
    for (int32_t& count : place) count = before += count;
    for (int64_t i = 0; i < N; i++) {
        const int64_t n = listed ? listed[i] : i;
        order[place[static_cast<std::size_t>(tokens[n])]++] = n;
    }
}

bool is_sorted(const int64_t* tokens, const int64_t* order, int64_t N) {
    bool holds = true;
    for (int64_t i = 1; i < N; i++) holds &= tokens[order[i - 1]] <= tokens[order[i]];
    return holds;
}

// Writes bytes in order, whole cache lines around the cache where `streams`.
inline void put(char* to, const char* from, std::size_t bytes, bool streams) {
#if defined(__AVX__)
    if (streams) {
        const std::size_t head = std::min(bytes, (64 - reinterpret_cast<std::uintptr_t>(to) % 64) % 64);
        std::size_t at = head;
        if (from) std::memcpy(to, from, head);
        else std::memset(to, 0, head);
        for (; at + 32 <= bytes; at += 32) {
            const __m256i value = from ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + at)) : __m256i{};
            _mm256_stream_si256(reinterpret_cast<__m256i*>(to + at), value);
        }
        if (from) std::memcpy(to + at, from + at, bytes - at);
        else std::memset(to + at, 0, bytes - at);
        return;
    }
#endif
    if (from) std::memcpy(to, from, bytes);
    else std::memset(to, 0, bytes);
}

inline void finish_streams() {
#if defined(__AVX__)
    _mm_sfence();
#endif
}

// One row: the sum of the segment order[0..count).
void sum_rows(const scalar_t* drows, const int64_t* order, int64_t count, int64_t C, scalar_t* row) {
    int64_t c = 0;
    for (; c + UNROLL * LANES <= C; c += UNROLL * LANES) {
        Vec sums[UNROLL] = {};
        for (int64_t i = 0; i < count; i++)
#pragma GCC unroll 8
            for (int u = 0; u < UNROLL; u++) sums[u] += load(drows + order[i] * C + c + u * LANES);
#pragma GCC unroll 8
        for (int u = 0; u < UNROLL; u++) store(row + c + u * LANES, sums[u]);
    }
    for (; c < C; c += LANES) {
        const int64_t lanes = std::min<int64_t>(LANES, C - c);
        Vec total = {};
        for (int64_t i = 0; i < count; i++) total += load_first(drows + order[i] * C + c, lanes);
        store_first(row + c, total, lanes);
    }
}

void gradient_of_rows(const scalar_t* drows, const int64_t* tokens, const int64_t* order, int64_t N, int64_t C,
                      int64_t first, int64_t end, bool streams, scalar_t* dtable) {
    const std::size_t row_bytes = static_cast<std::size_t>(C) * sizeof(scalar_t);
    std::vector<scalar_t> row(static_cast<std::size_t>(C));
    const auto at = [&](int64_t v) { return reinterpret_cast<char*>(dtable + v * C); };
    int64_t i = std::partition_point(order, order + N, [&](int64_t n) { return tokens[n] < first; }) - order;
    for (int64_t v = first; v < end; v++) {
        const int64_t next = i < N ? std::min(tokens[order[i]], end) : end;
        put(at(v), nullptr, static_cast<std::size_t>(next - v) * row_bytes, streams);
        if ((v = next) == end) break;
        const int64_t begin = i;
        while (i < N && tokens[order[i]] == v) i++;
        if (i - begin == 1) {
            put(at(v), reinterpret_cast<const char*>(drows + order[begin] * C), row_bytes, streams);
        } else if (streams) {
            sum_rows(drows, order + begin, i - begin, C, row.data());
            put(at(v), reinterpret_cast<const char*>(row.data()), row_bytes, true);
        } else {
            sum_rows(drows, order + begin, i - begin, C, dtable + v * C);
        }
    }
    if (streams) finish_streams();
}

}  // namespace

[[maybe_unused]] static void token_order_forward(const int64_t* tokens, int64_t* order, int64_t N, int64_t vocab_size) {
    sort_by_token(tokens, nullptr, N, vocab_size, order);
}

[[maybe_unused]] static void embedding_forward(const scalar_t* table, const int64_t* tokens, const int64_t*, scalar_t* rows,
                                  int64_t N, int64_t, int64_t C) {
    const std::size_t row_bytes = static_cast<std::size_t>(C) * sizeof(scalar_t);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++) std::memcpy(rows + n * C, table + tokens[n] * C, row_bytes);
}

extern "C" __attribute__((visibility("default"))) void embedding_backward(const scalar_t*, const int64_t* tokens, const int64_t* order, const scalar_t*,
                                   const scalar_t* drows, scalar_t* dtable, int64_t N, int64_t V, int64_t C) {
    std::vector<int64_t> sorted;
    if (!is_sorted(tokens, order, N)) {
        sorted.resize(static_cast<std::size_t>(N));
        sort_by_token(tokens, order, N, V, sorted.data());
        order = sorted.data();
    }
    const bool streams = V * C * static_cast<int64_t>(sizeof(scalar_t)) > (int64_t{STREAM_MIB} << 20);
#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < V; first += ROWS_PER_TASK)
        gradient_of_rows(drows, tokens, order, N, C, first, std::min<int64_t>(V, first + ROWS_PER_TASK), streams, dtable);
}
}  // namespace from_segments
#undef ROWS_PER_TASK
#undef UNROLL
#undef STREAM_MIB
