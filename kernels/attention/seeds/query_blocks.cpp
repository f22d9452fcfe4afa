// Causal attention with a left window, two passes over each query block's whole window.
//
//   S = q k^T / sqrt(D),  P_ij = exp(S_ij - L_i),  L_i = log sum_j exp(S_ij),  out = P v,  keys i - window <= j <= i
//   dV = P^T dO,  dS = P * (dO v^T - rowsum(dO * out)),  dQ = dS k / sqrt(D),  dK = dS^T q / sqrt(D)
//   (Dao et al. 2022, https://arxiv.org/abs/2205.14135, without the online rescaling: a window's scores fit in cache)
//
// Layout: q, out (B, T, H, D); k, v (B, T, K, D). Scores are kept transposed, [key][query]: softmax is then plain lane
// arithmetic, and all five products read their operands in the order they already have. Keys and values of one head are
// first copied to dense float32 rows. Accumulation in float32; one rounding at each store.
// The forward is parallel over heads and query ranges, the backward over (batch, key head): each thread owns its dK and
// dV and adds query heads and query blocks in a fixed order, so results do not depend on the number of threads.
// The window of a block is a band: its first keys are seen by its first queries alone, its last keys by its last. Trimmed,
// products leave out what no query of a vector sees; whole, they are fewer and larger.
//
// tune: BLOCK_QUERIES in 32 16 64
// tune: BLOCK_KEYS in 128 64 32
// tune: TILE_ROWS in 8 12
// tune: BAND in whole trimmed
// saves: lse float32 B H T

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>
#include <omp.h>

namespace {

using namespace ks;

constexpr int64_t QUERY_VECTORS = (BLOCK_QUERIES + LANES - 1) / LANES;
constexpr int64_t QUERY_STRIDE = QUERY_VECTORS * LANES;

// C(row, :) = or += sum over steps of A(row, step) B(step, :), one register tile.
template <int ROWS, int VECTORS, bool ADD>
inline void tile(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_step, int64_t steps, float* c,
                 int64_t c_row) {
    Vec sums[ROWS][VECTORS];
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) sums[i][j] = ADD ? load(c + i * c_row + j * LANES) : Vec{};
    for (int64_t step = 0; step < steps; step++) {
        Vec right[VECTORS];
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) right[j] = load(b + step * b_step + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < ROWS; i++) {
            const Vec left = broadcast(a[i * a_row + step * a_step]);
#pragma GCC unroll 4
            for (int j = 0; j < VECTORS; j++) sums[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) store(c + i * c_row + j * LANES, sums[i][j]);
}

template <int VECTORS, bool ADD>
inline void column(int64_t rows, int64_t steps, const float* a, int64_t a_row, int64_t a_step, const float* b,
                   int64_t b_step, float* c, int64_t c_row) {
    int64_t i = 0;
    for (; i + TILE_ROWS <= rows; i += TILE_ROWS)
        tile<TILE_ROWS, VECTORS, ADD>(a + i * a_row, a_row, a_step, b, b_step, steps, c + i * c_row, c_row);
    for (; i + 4 <= rows; i += 4)
        tile<4, VECTORS, ADD>(a + i * a_row, a_row, a_step, b, b_step, steps, c + i * c_row, c_row);
    for (; i < rows; i++) tile<1, VECTORS, ADD>(a + i * a_row, a_row, a_step, b, b_step, steps, c + i * c_row, c_row);
}

// C(rows, vectors * LANES) = or += A(rows, steps) B(steps, vectors * LANES); A is read with any two strides.
template <bool ADD>
void product(int64_t rows, int64_t vectors, int64_t steps, const float* a, int64_t a_row, int64_t a_step,
             const float* b, int64_t b_step, float* c, int64_t c_row) {
    int64_t j = 0;
    for (; j + 2 <= vectors; j += 2)
        column<2, ADD>(rows, steps, a, a_row, a_step, b + j * LANES, b_step, c + j * LANES, c_row);
    if (j < vectors) column<1, ADD>(rows, steps, a, a_row, a_step, b + j * LANES, b_step, c + j * LANES, c_row);
}

template <class T>
inline Vec load_row(const T* row, int64_t d, int64_t D) {
    return d + LANES <= D ? load(row + d) : load_first(row + d, D - d);
}

// Dense float32 rows of `stride` floats (zero beyond D) from rows `step` elements apart.
void pack_rows(const scalar_t* rows, int64_t step, int64_t count, int64_t D, float* packed, int64_t stride) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t d = 0; d < stride; d += LANES)
            store(packed + i * stride + d, d < D ? load_row(rows + i * step, d, D) : Vec{});
}

// packed[d][i] = factor * rows[i][d], with zeros for absent queries.
void pack_transposed(const scalar_t* rows, int64_t step, int64_t count, int64_t D, float factor, float* packed) {
    for (int64_t i = 0; i < QUERY_STRIDE; i += LANES)
        for (int64_t d = 0; d < D; d += LANES) {
            Vec block[LANES];
            for (int64_t lane = 0; lane < LANES; lane++)
                block[lane] = i + lane < count ? load_row(rows + (i + lane) * step, d, D) * factor : Vec{};
            transpose(block);
            for (int64_t lane = 0; lane < LANES; lane++) store(packed + (d + lane) * QUERY_STRIDE + i, block[lane]);
        }
}

void unpack_row(const float* packed, int64_t D, scalar_t* row) {
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES) store(row + d, load(packed + d));
    if (d < D) store_first(row + d, load(packed + d), D - d);
}

// Scores of one key against LANES queries from `query`, minus infinity where the key is out of a query's window.
inline Vec masked(Vec scores, int64_t key, int64_t query, int64_t window) {
    const int64_t age = query - key;  // of the key, as the first lane's query sees it
    if (age >= 0 && age + LANES - 1 <= window) return scores;
    const IntVec lane = lane_index();
    const int32_t first = static_cast<int32_t>(std::clamp<int64_t>(-age, 0, LANES));
    const int32_t last = static_cast<int32_t>(std::clamp<int64_t>(window - age, -1, LANES));
    return (lane >= first) & (lane <= last) ? scores : broadcast(-INFINITY);
}

inline int64_t first_key(int64_t query, int64_t window) { return query - std::min(query, window); }

// Of a tile of keys, which rows each vector of queries sees: neither bound falls from one vector to the next.
struct Band {
    int64_t keys, vectors, count, low[QUERY_VECTORS], high[QUERY_VECTORS];

    Band(int64_t key, int64_t keys, int64_t query, int64_t count, int64_t window)
        : keys(keys), vectors(BAND_whole ? QUERY_VECTORS : (count + LANES - 1) / LANES), count(count) {
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t first = query + v * LANES;
            low[v] = BAND_trimmed ? std::clamp<int64_t>(first_key(first, window) - key, 0, keys) : 0;
            high[v] = BAND_trimmed ? std::clamp<int64_t>(first + LANES - key, 0, keys) : keys;
        }
    }

    // f(first row, rows, first vector, vectors) for each range of rows that the same vectors see.
    template <class F>
    void for_rows(const F& f) const {
        if (BAND_whole) return f(0, keys, 0, vectors);
        for (int64_t row = low[0], left = 0; left < vectors;) {
            if (high[left] <= row) {
                left++;
                continue;
            }
            row = std::max(row, low[left]);
            int64_t right = left + 1;
            while (right < vectors && low[right] <= row) right++;
            const int64_t end = right < vectors ? std::min(high[left], low[right]) : high[left];
            f(row, end - row, left, right - left);
            row = end;
        }
    }

    // f(first query, queries, first row, end of rows) for each range of queries that see the same rows.
    template <class F>
    void for_queries(const F& f) const {
        if (BAND_whole) return f(0, count, 0, keys);
        for (int64_t v = 0; v < vectors;) {
            int64_t next = v + 1;
            while (next < vectors && low[next] == low[v] && high[next] == high[v]) next++;
            if (low[v] < high[v]) f(v * LANES, queries(v, next - v), low[v], high[v]);
            v = next;
        }
    }

    // How many queries so many vectors hold.
    int64_t queries(int64_t first, int64_t vectors) const { return std::min(vectors * LANES, count - first * LANES); }
};

// Scores of a tile, or what they have in common with dP: rows of `a` by the queries that see them.
void product_by_queries(const Band& band, int64_t D, const float* a, int64_t stride, const float* queries_T,
                        float* scores) {
    band.for_rows([&](int64_t row, int64_t rows, int64_t left, int64_t vectors) {
        product<false>(rows, vectors, D, a + row * stride, stride, 1, queries_T + left * LANES, QUERY_STRIDE,
                       scores + row * QUERY_STRIDE + left * LANES, QUERY_STRIDE);
    });
}

// Adds to each row of a tile what the queries that see it give.
void add_to_keys(const Band& band, int64_t vectors, const float* weights, const float* queries, int64_t stride,
                 float* sums) {
    band.for_rows([&](int64_t row, int64_t rows, int64_t left, int64_t seen) {
        product<true>(rows, vectors, band.queries(left, seen), weights + row * QUERY_STRIDE + left * LANES,
                      QUERY_STRIDE, 1, queries + left * LANES * stride, stride, sums + row * stride, stride);
    });
}

// One query block: scores of its whole window, softmax in place, then the weighted sum of values.
void forward_block(const float* keys, const float* values, const float* queries_T, float* scores, float* sums,
                   int64_t query, int64_t count, int64_t D, int64_t stride, int64_t window, int64_t key_offset,
                   float* lse) {
    const int64_t low = first_key(query, window), length = query + count - low;
    const float* window_keys = keys + (low - key_offset) * stride;
    const float* window_values = values + (low - key_offset) * stride;
    const Band band(low, length, query, count, window);
    product_by_queries(band, D, window_keys, stride, queries_T, scores);
    float inverse[QUERY_STRIDE];
    for (int64_t v = 0; v < band.vectors; v++) {
        const int64_t i = v * LANES;
        Vec top = broadcast(-INFINITY), total = Vec{};
        for (int64_t j = band.low[v]; j < band.high[v]; j++) {
            float* cell = scores + j * QUERY_STRIDE + i;
            const Vec score = masked(load(cell), low + j, query + i, window);
            store(cell, score);
            top = max(top, score);
        }
        for (int64_t j = band.low[v]; j < band.high[v]; j++) {
            float* cell = scores + j * QUERY_STRIDE + i;
            const Vec weight = exp(load(cell) - top);
            store(cell, weight);
            total += weight;
        }
        store(inverse + i, 1.0f / total);
        for (int64_t lane = 0; lane < LANES && i + lane < count; lane++)
            lse[i + lane] = top[lane] + std::log(total[lane]);
    }
    std::fill_n(sums, count * stride, 0.0f);
    band.for_queries([&](int64_t first, int64_t queries, int64_t begin, int64_t end) {
        for (int64_t j = begin; j < end; j += BLOCK_KEYS)
            product<true>(queries, stride / LANES, std::min<int64_t>(BLOCK_KEYS, end - j),
                          scores + j * QUERY_STRIDE + first, 1, QUERY_STRIDE, window_values + j * stride, stride,
                          sums + first * stride, stride);
    });
    for (int64_t i = 0; i < count; i++)
        for (int64_t d = 0; d < stride; d += LANES)
            store(sums + i * stride + d, load(sums + i * stride + d) * inverse[i]);
}

struct BackwardScratch {
    Scratch queries_T, douts_T, queries, douts, weights, dscores, dqueries;
    BackwardScratch(int64_t stride)
        : queries_T(stride * QUERY_STRIDE), douts_T(stride * QUERY_STRIDE), queries(BLOCK_QUERIES * stride),
          douts(BLOCK_QUERIES * stride), weights(BLOCK_KEYS * QUERY_STRIDE), dscores(BLOCK_KEYS * QUERY_STRIDE),
          dqueries(BLOCK_QUERIES * stride) {}
};

// P and dS of one (keys x queries) tile, in place of S and dP.
void softmax_backward_tile(const Band& band, float* weights, float* dscores, int64_t key, int64_t query,
                           int64_t window, const float* lse, const float* delta, float scale) {
    for (int64_t v = 0; v < band.vectors; v++) {
        const int64_t i = v * LANES;
        const Vec row_lse = load(lse + i), row_delta = load(delta + i);
        for (int64_t j = band.low[v]; j < band.high[v]; j++) {
            float* weight_cell = weights + j * QUERY_STRIDE + i;
            float* dscore_cell = dscores + j * QUERY_STRIDE + i;
            const Vec weight = exp(masked(load(weight_cell), key + j, query + i, window) - row_lse);
            store(weight_cell, weight);
            store(dscore_cell, weight * (load(dscore_cell) - row_delta) * scale);
        }
    }
}

// One query block of one query head: its dQ into scratch.dqueries, its share added to dkeys and dvalues.
void backward_block(const BackwardScratch& scratch, const float* keys, const float* values, float* dkeys,
                    float* dvalues, int64_t query, int64_t count, int64_t D, int64_t stride, int64_t window,
                    const float* lse, const float* delta, float scale) {
    const int64_t low = first_key(query, window), high = query + count, vectors = stride / LANES;
    for (int64_t key = low; key < high; key += BLOCK_KEYS) {
        const Band band(key, std::min<int64_t>(BLOCK_KEYS, high - key), query, count, window);
        const float* tile_keys = keys + key * stride;
        product_by_queries(band, D, tile_keys, stride, scratch.queries_T, scratch.weights);
        product_by_queries(band, D, values + key * stride, stride, scratch.douts_T, scratch.dscores);
        softmax_backward_tile(band, scratch.weights, scratch.dscores, key, query, window, lse, delta, scale);
        add_to_keys(band, vectors, scratch.weights, scratch.douts, stride, dvalues + key * stride);
        add_to_keys(band, vectors, scratch.dscores, scratch.queries, stride, dkeys + key * stride);
        band.for_queries([&](int64_t first, int64_t queries, int64_t begin, int64_t end) {
            product<true>(queries, vectors, end - begin, scratch.dscores + begin * QUERY_STRIDE + first, 1,
                          QUERY_STRIDE, tile_keys + begin * stride, stride, scratch.dqueries + first * stride, stride);
        });
    }
}

// delta_i = <dO_i, out_i>
float row_dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    Vec total = Vec{};
    for (int64_t d = 0; d < D; d += LANES) total += load_row(a, d, D) * load_row(b, d, D);
    return sum(total);
}

}  // namespace

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, float* lse,
                                  int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const int64_t stride = round_up(D, 2 * LANES), group = H / K, blocks = (T + BLOCK_QUERIES - 1) / BLOCK_QUERIES;
    // Enough query ranges to keep every thread busy; the bits of a block do not depend on the range it falls in.
    const int64_t ranges = std::clamp<int64_t>(4 * omp_get_max_threads() / (B * K), 1, blocks);
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
#pragma omp parallel
    {
        Scratch keys(T * stride), values(T * stride), queries_T(stride * QUERY_STRIDE), sums(BLOCK_QUERIES * stride);
        Scratch scores(std::min(T, std::min(T, window) + BLOCK_QUERIES) * QUERY_STRIDE);
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t head = 0; head < B * K; head++)
            for (int64_t range = 0; range < ranges; range++) {
                const int64_t b = head / K, key_head = head % K;
                const int64_t begin = blocks * range / ranges * BLOCK_QUERIES;
                const int64_t end = std::min(T, blocks * (range + 1) / ranges * BLOCK_QUERIES);
                const int64_t low = first_key(begin, window);
                const int64_t source = ((b * T + low) * K + key_head) * D;
                pack_rows(k + source, K * D, end - low, D, keys, stride);
                pack_rows(v + source, K * D, end - low, D, values, stride);
                for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                    for (int64_t query = begin; query < end; query += BLOCK_QUERIES) {
                        const int64_t count = std::min<int64_t>(BLOCK_QUERIES, end - query);
                        const int64_t at = ((b * T + query) * H + h) * D;
                        pack_transposed(q + at, H * D, count, D, scale, queries_T);
                        forward_block(keys, values, queries_T, scores, sums, query, count, D, stride, window, low,
                                      lse + (b * H + h) * T + query);
                        for (int64_t i = 0; i < count; i++) unpack_row(sums + i * stride, D, out + at + i * H * D);
                    }
            }
    }
}

extern "C" void attention_backward(const scalar_t* q, const scalar_t* k, const scalar_t* v, const scalar_t* out,
                                   const float* lse, const scalar_t* dout, scalar_t* dq, scalar_t* dk, scalar_t* dv,
                                   int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const int64_t stride = round_up(D, 2 * LANES), group = H / K;
    const float scale = 1.0f / std::sqrt(static_cast<float>(D));
#pragma omp parallel
    {
        Scratch keys(T * stride), values(T * stride), dkeys(T * stride), dvalues(T * stride);
        const BackwardScratch scratch(stride);
#pragma omp for schedule(dynamic)
        for (int64_t head = 0; head < B * K; head++) {
            const int64_t b = head / K, key_head = head % K, source = (b * T * K + key_head) * D;
            pack_rows(k + source, K * D, T, D, keys, stride);
            pack_rows(v + source, K * D, T, D, values, stride);
            std::fill_n(static_cast<float*>(dkeys), T * stride, 0.0f);
            std::fill_n(static_cast<float*>(dvalues), T * stride, 0.0f);
            for (int64_t h = key_head * group; h < (key_head + 1) * group; h++)
                for (int64_t query = 0; query < T; query += BLOCK_QUERIES) {
                    const int64_t count = std::min<int64_t>(BLOCK_QUERIES, T - query);
                    const int64_t at = ((b * T + query) * H + h) * D;
                    float block_lse[QUERY_STRIDE] = {}, delta[QUERY_STRIDE] = {};
                    for (int64_t i = 0; i < count; i++) {
                        block_lse[i] = lse[(b * H + h) * T + query + i];
                        delta[i] = row_dot(dout + at + i * H * D, out + at + i * H * D, D);
                    }
                    pack_transposed(q + at, H * D, count, D, scale, scratch.queries_T);
                    pack_transposed(dout + at, H * D, count, D, 1.0f, scratch.douts_T);
                    pack_rows(q + at, H * D, count, D, scratch.queries, stride);
                    pack_rows(dout + at, H * D, count, D, scratch.douts, stride);
                    std::fill_n(static_cast<float*>(scratch.dqueries), count * stride, 0.0f);
                    backward_block(scratch, keys, values, dkeys, dvalues, query, count, D, stride, window, block_lse,
                                   delta, scale);
                    for (int64_t i = 0; i < count; i++)
                        unpack_row(scratch.dqueries + i * stride, D, dq + at + i * H * D);
                }
            for (int64_t j = 0; j < T; j++) {
                unpack_row(dkeys + j * stride, D, dk + source + j * K * D);
                unpack_row(dvalues + j * stride, D, dv + source + j * K * D);
            }
        }
    }
}
