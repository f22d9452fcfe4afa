// Causal attention with a left window, online softmax over key tiles, and a backward in two passes.
//
//   S = q k^T / sqrt(D),  P_ij = exp(S_ij - L_i),  L_i = log sum_j exp(S_ij),  out = P v,  keys i - window <= j <= i
//   dV = P^T dO,  dS = P * (dO v^T - rowsum(dO * out)),  dQ = dS k / sqrt(D),  dK = dS^T q / sqrt(D)
//   forward: running maximum m and sum l a query; a tile that raises m rescales the sum and the output so far
//   (Milakov and Gimelshein 2018, https://arxiv.org/abs/1805.02867; Dao et al. 2022, https://arxiv.org/abs/2205.14135)
//
// Backward: one pass with queries stationary for dQ, one with keys stationary for dK and dV. Scores are computed twice
// (seven tile products instead of five), but every tile is owned by one thread, so all of T is parallel and nothing is
// added across threads. Sums run in a fixed order: results do not depend on the number of threads.
//
// Layout: q, out (B, T, H, D); k, v (B, T, K, D). Tiles are copied to dense float32 rows; the stationary side is also
// transposed, so that lanes are queries in the first kind of pass and keys in the second. Accumulation in float32; one
// rounding at each store.
//
// tune: BLOCK_QUERIES in 32 64 16
// tune: BLOCK_KEYS in 64 32 128
// tune: TILE_ROWS in 8 12
// saves: lse float32 B H T

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>
#include <omp.h>

namespace {

using namespace ks;

constexpr int64_t QUERY_STRIDE = (BLOCK_QUERIES + LANES - 1) / LANES * LANES;
constexpr int64_t KEY_STRIDE = (BLOCK_KEYS + LANES - 1) / LANES * LANES;

struct Problem {
    int64_t B, T, H, K, D, window;
    int64_t stride, vectors, group;  // floats and vectors of a packed row; query heads a key head
    float scale;
    Problem(int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window)
        : B(B), T(T), H(H), K(K), D(D), window(std::min(window, T)), stride(round_up(D, 2 * LANES)),
          vectors(stride / LANES), group(H / K), scale(1.0f / std::sqrt(static_cast<float>(D))) {}
    int64_t query_at(int64_t b, int64_t t, int64_t h) const { return ((b * T + t) * H + h) * D; }
    int64_t key_at(int64_t b, int64_t t, int64_t h) const { return ((b * T + t) * K + h) * D; }
    int64_t first_key(int64_t query) const { return std::max<int64_t>(0, query - window); }
};

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

// packed[d][i] = factor * rows[i][d] in rows of `width` floats, with zeros for absent rows.
void pack_transposed(const scalar_t* rows, int64_t step, int64_t count, int64_t D, float factor, float* packed,
                     int64_t width) {
    for (int64_t i = 0; i < width; i += LANES)
        for (int64_t d = 0; d < D; d += LANES) {
            Vec block[LANES];
            for (int64_t lane = 0; lane < LANES; lane++)
                block[lane] = i + lane < count ? load_row(rows + (i + lane) * step, d, D) * factor : Vec{};
            transpose(block);
            for (int64_t lane = 0; lane < LANES; lane++) store(packed + (d + lane) * width + i, block[lane]);
        }
}

void unpack_row(const float* packed, float factor, int64_t D, scalar_t* row) {
    int64_t d = 0;
    for (; d + LANES <= D; d += LANES) store(row + d, load(packed + d) * factor);
    if (d < D) store_first(row + d, load(packed + d) * factor, D - d);
}

// `x` in the lanes first..last, minus infinity elsewhere.
inline Vec only_lanes(Vec x, int64_t first, int64_t last) {
    if (first <= 0 && last >= LANES - 1) return x;
    const IntVec lane = lane_index();
    const int32_t low = static_cast<int32_t>(std::clamp<int64_t>(first, 0, LANES));
    const int32_t high = static_cast<int32_t>(std::clamp<int64_t>(last, -1, LANES));
    return (lane >= low) & (lane <= high) ? x : broadcast(-INFINITY);
}

// Lanes are queries from `query`: those that see `key` are key..key + window.
inline Vec mask_queries(Vec scores, int64_t query, int64_t key, int64_t window) {
    return only_lanes(scores, key - query, key + window - query);
}

// Lanes are keys from `key`: those that `query` sees are query - window..query.
inline Vec mask_keys(Vec scores, int64_t key, int64_t query, int64_t window) {
    return only_lanes(scores, query - window - key, query - key);
}

// Softmax state of one query block; lanes are queries.
struct Running {
    float top[QUERY_STRIDE], total[QUERY_STRIDE], rescale[QUERY_STRIDE];
};

// Scores of one key tile to weights exp(S - m), with m, l and the factor for everything summed before.
void online_softmax_tile(float* scores, int64_t key, int64_t keys, int64_t query, int64_t window, Running& state) {
    for (int64_t i = 0; i < QUERY_STRIDE; i += LANES) {
        const Vec old_top = load(state.top + i);
        Vec top = old_top;
        for (int64_t j = 0; j < keys; j++) {
            float* cell = scores + j * QUERY_STRIDE + i;
            const Vec score = mask_queries(load(cell), query + i, key + j, window);
            store(cell, score);
            top = max(top, score);
        }
        // A query that has seen no key yet keeps a finite reference, so that -infinity never meets itself.
        const Vec reference = max(top, broadcast(-3.0e38f));
        const Vec rescale = exp(old_top - reference);
        Vec total = load(state.total + i) * rescale;
        for (int64_t j = 0; j < keys; j++) {
            float* cell = scores + j * QUERY_STRIDE + i;
            const Vec weight = exp(load(cell) - reference);
            store(cell, weight);
            total += weight;
        }
        store(state.top + i, top);
        store(state.total + i, total);
        store(state.rescale + i, rescale);
    }
}

// out and lse of one query block, from packed keys and values that start at token `offset`.
void forward_block(const Problem& problem, const float* keys, const float* values, int64_t offset,
                   const float* queries_T, int64_t query, int64_t count, float* scores, float* sums, Running& state) {
    const int64_t stride = problem.stride, high = query + count;
    std::fill_n(state.top, QUERY_STRIDE, -INFINITY);
    std::fill_n(state.total, QUERY_STRIDE, 0.0f);
    std::fill_n(sums, count * stride, 0.0f);
    for (int64_t key = problem.first_key(query); key < high; key += BLOCK_KEYS) {
        const int64_t length = std::min<int64_t>(BLOCK_KEYS, high - key), at = (key - offset) * stride;
        product<false>(length, QUERY_STRIDE / LANES, problem.D, keys + at, stride, 1, queries_T, QUERY_STRIDE, scores,
                       QUERY_STRIDE);
        online_softmax_tile(scores, key, length, query, problem.window, state);
        for (int64_t i = 0; i < count; i++)
            if (state.rescale[i] != 1.0f)
                for (int64_t d = 0; d < stride; d += LANES)
                    store(sums + i * stride + d, load(sums + i * stride + d) * state.rescale[i]);
        product<true>(count, problem.vectors, length, scores, 1, QUERY_STRIDE, values + at, stride, sums, stride);
    }
}

// dQ of one query block; queries_T is scaled, sums receives dQ.
void query_gradient_block(const Problem& problem, const float* keys, const float* values, int64_t offset,
                          const float* queries_T, const float* douts_T, const float* lse, const float* delta,
                          int64_t query, int64_t count, float* scores, float* dscores, float* sums) {
    const int64_t stride = problem.stride, high = query + count;
    std::fill_n(sums, count * stride, 0.0f);
    for (int64_t key = problem.first_key(query); key < high; key += BLOCK_KEYS) {
        const int64_t length = std::min<int64_t>(BLOCK_KEYS, high - key), at = (key - offset) * stride;
        product<false>(length, QUERY_STRIDE / LANES, problem.D, keys + at, stride, 1, queries_T, QUERY_STRIDE, scores,
                       QUERY_STRIDE);
        product<false>(length, QUERY_STRIDE / LANES, problem.D, values + at, stride, 1, douts_T, QUERY_STRIDE, dscores,
                       QUERY_STRIDE);
        for (int64_t j = 0; j < length; j++)
            for (int64_t i = 0; i < QUERY_STRIDE; i += LANES) {
                float* cell = dscores + j * QUERY_STRIDE + i;
                const Vec score = mask_queries(load(scores + j * QUERY_STRIDE + i), query + i, key + j, problem.window);
                store(cell, exp(score - load(lse + i)) * (load(cell) - load(delta + i)) * problem.scale);
            }
        product<true>(count, problem.vectors, length, dscores, 1, QUERY_STRIDE, keys + at, stride, sums, stride);
    }
}

// A query block's share of dK and dV of one key tile; keys_T is scaled.
void key_gradient_tile(const Problem& problem, const float* keys_T, const float* values_T, const float* queries,
                       const float* douts, const float* lse, const float* delta, int64_t key, int64_t keys,
                       int64_t query, int64_t count, float* scores, float* dscores, float* dkeys, float* dvalues) {
    const int64_t stride = problem.stride;
    product<false>(count, KEY_STRIDE / LANES, problem.D, queries, stride, 1, keys_T, KEY_STRIDE, scores, KEY_STRIDE);
    product<false>(count, KEY_STRIDE / LANES, problem.D, douts, stride, 1, values_T, KEY_STRIDE, dscores, KEY_STRIDE);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < KEY_STRIDE; j += LANES) {
            float *weight_cell = scores + i * KEY_STRIDE + j, *dscore_cell = dscores + i * KEY_STRIDE + j;
            const Vec weight = exp(mask_keys(load(weight_cell), key + j, query + i, problem.window) - lse[i]);
            store(weight_cell, weight);
            store(dscore_cell, weight * (load(dscore_cell) - delta[i]) * problem.scale);
        }
    product<true>(keys, problem.vectors, count, scores, 1, KEY_STRIDE, douts, stride, dvalues, stride);
    product<true>(keys, problem.vectors, count, dscores, 1, KEY_STRIDE, queries, stride, dkeys, stride);
}

// The tokens of a query range and how many ranges: enough to keep every thread busy. Bits do not depend on it.
struct Ranges {
    int64_t blocks, count;
    explicit Ranges(const Problem& problem)
        : blocks((problem.T + BLOCK_QUERIES - 1) / BLOCK_QUERIES),
          count(std::clamp<int64_t>(4 * omp_get_max_threads() / (problem.B * problem.K), 1, blocks)) {}
    int64_t begin(int64_t range) const { return blocks * range / count * BLOCK_QUERIES; }
};

// delta_i = <dO_i, out_i>
float row_dot(const scalar_t* a, const scalar_t* b, int64_t D) {
    Vec total = Vec{};
    for (int64_t d = 0; d < D; d += LANES) total += load_row(a, d, D) * load_row(b, d, D);
    return sum(total);
}

// Pass 1 of the backward: delta of every query, and dQ.
void query_gradients(const Problem& problem, const scalar_t* q, const scalar_t* k, const scalar_t* v,
                     const scalar_t* out, const float* lse, const scalar_t* dout, float* delta, scalar_t* dq) {
    const Ranges ranges(problem);
    const int64_t T = problem.T, D = problem.D, stride = problem.stride, query_step = problem.H * D;
#pragma omp parallel
    {
        Scratch keys(T * stride), values(T * stride), queries_T(stride * QUERY_STRIDE), douts_T(stride * QUERY_STRIDE);
        Scratch scores(BLOCK_KEYS * QUERY_STRIDE), dscores(BLOCK_KEYS * QUERY_STRIDE), sums(BLOCK_QUERIES * stride);
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t head = 0; head < problem.B * problem.K; head++)
            for (int64_t range = 0; range < ranges.count; range++) {
                const int64_t b = head / problem.K, key_head = head % problem.K;
                const int64_t begin = ranges.begin(range), end = std::min(T, ranges.begin(range + 1));
                const int64_t low = problem.first_key(begin), source = problem.key_at(b, low, key_head);
                pack_rows(k + source, problem.K * D, end - low, D, keys, stride);
                pack_rows(v + source, problem.K * D, end - low, D, values, stride);
                for (int64_t h = key_head * problem.group; h < (key_head + 1) * problem.group; h++)
                    for (int64_t query = begin; query < end; query += BLOCK_QUERIES) {
                        const int64_t count = std::min<int64_t>(BLOCK_QUERIES, end - query);
                        const int64_t at = problem.query_at(b, query, h), row = (b * problem.H + h) * T + query;
                        float block_lse[QUERY_STRIDE] = {}, block_delta[QUERY_STRIDE] = {};
                        for (int64_t i = 0; i < count; i++) {
                            block_lse[i] = lse[row + i];
                            block_delta[i] = row_dot(dout + at + i * query_step, out + at + i * query_step, D);
                            delta[row + i] = block_delta[i];
                        }
                        pack_transposed(q + at, query_step, count, D, problem.scale, queries_T, QUERY_STRIDE);
                        pack_transposed(dout + at, query_step, count, D, 1.0f, douts_T, QUERY_STRIDE);
                        query_gradient_block(problem, keys, values, low, queries_T, douts_T, block_lse, block_delta,
                                             query, count, scores, dscores, sums);
                        for (int64_t i = 0; i < count; i++)
                            unpack_row(sums + i * stride, 1.0f, D, dq + at + i * query_step);
                    }
            }
    }
}

// Pass 2 of the backward: dK and dV, a key tile at a time.
void key_gradients(const Problem& problem, const scalar_t* q, const scalar_t* k, const scalar_t* v, const float* lse,
                   const scalar_t* dout, const float* delta, scalar_t* dk, scalar_t* dv) {
    const int64_t T = problem.T, D = problem.D, stride = problem.stride;
    const int64_t query_step = problem.H * D, key_step = problem.K * D, tiles = (T + BLOCK_KEYS - 1) / BLOCK_KEYS;
#pragma omp parallel
    {
        Scratch keys_T(stride * KEY_STRIDE), values_T(stride * KEY_STRIDE), queries(BLOCK_QUERIES * stride);
        Scratch douts(BLOCK_QUERIES * stride), dkeys(BLOCK_KEYS * stride), dvalues(BLOCK_KEYS * stride);
        Scratch scores(BLOCK_QUERIES * KEY_STRIDE), dscores(BLOCK_QUERIES * KEY_STRIDE);
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t head = 0; head < problem.B * problem.K; head++)
            for (int64_t key_tile = 0; key_tile < tiles; key_tile++) {
                const int64_t b = head / problem.K, key_head = head % problem.K, key = key_tile * BLOCK_KEYS;
                const int64_t keys = std::min<int64_t>(BLOCK_KEYS, T - key), source = problem.key_at(b, key, key_head);
                const int64_t end = std::min(T, key + keys + problem.window);
                pack_transposed(k + source, key_step, keys, D, problem.scale, keys_T, KEY_STRIDE);
                pack_transposed(v + source, key_step, keys, D, 1.0f, values_T, KEY_STRIDE);
                std::fill_n(static_cast<float*>(dkeys), keys * stride, 0.0f);
                std::fill_n(static_cast<float*>(dvalues), keys * stride, 0.0f);
                for (int64_t h = key_head * problem.group; h < (key_head + 1) * problem.group; h++)
                    for (int64_t query = key; query < end; query += BLOCK_QUERIES) {
                        const int64_t count = std::min<int64_t>(BLOCK_QUERIES, end - query);
                        const int64_t at = problem.query_at(b, query, h), row = (b * problem.H + h) * T + query;
                        pack_rows(q + at, query_step, count, D, queries, stride);
                        pack_rows(dout + at, query_step, count, D, douts, stride);
                        key_gradient_tile(problem, keys_T, values_T, queries, douts, lse + row, delta + row, key, keys,
                                          query, count, scores, dscores, dkeys, dvalues);
                    }
                for (int64_t j = 0; j < keys; j++) {
                    unpack_row(dkeys + j * stride, 1.0f, D, dk + source + j * key_step);
                    unpack_row(dvalues + j * stride, 1.0f, D, dv + source + j * key_step);
                }
            }
    }
}

}  // namespace

extern "C" void attention_forward(const scalar_t* q, const scalar_t* k, const scalar_t* v, scalar_t* out, float* lse,
                                  int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const Problem problem(B, T, H, K, D, window);
    const Ranges ranges(problem);
    const int64_t stride = problem.stride;
#pragma omp parallel
    {
        Scratch keys(T * stride), values(T * stride), queries_T(stride * QUERY_STRIDE);
        Scratch scores(BLOCK_KEYS * QUERY_STRIDE), sums(BLOCK_QUERIES * stride);
        Running state;
#pragma omp for schedule(dynamic) collapse(2)
        for (int64_t head = 0; head < B * K; head++)
            for (int64_t range = 0; range < ranges.count; range++) {
                const int64_t b = head / K, key_head = head % K;
                const int64_t begin = ranges.begin(range), end = std::min(T, ranges.begin(range + 1));
                const int64_t low = problem.first_key(begin), source = problem.key_at(b, low, key_head);
                pack_rows(k + source, K * D, end - low, D, keys, stride);
                pack_rows(v + source, K * D, end - low, D, values, stride);
                for (int64_t h = key_head * problem.group; h < (key_head + 1) * problem.group; h++)
                    for (int64_t query = begin; query < end; query += BLOCK_QUERIES) {
                        const int64_t count = std::min<int64_t>(BLOCK_QUERIES, end - query);
                        const int64_t at = problem.query_at(b, query, h);
                        pack_transposed(q + at, H * D, count, D, problem.scale, queries_T, QUERY_STRIDE);
                        forward_block(problem, keys, values, low, queries_T, query, count, scores, sums, state);
                        for (int64_t i = 0; i < count; i++) {
                            unpack_row(sums + i * stride, 1.0f / state.total[i], D, out + at + i * H * D);
                            lse[(b * H + h) * T + query + i] = state.top[i] + std::log(state.total[i]);
                        }
                    }
            }
    }
}

extern "C" void attention_backward(const scalar_t* q, const scalar_t* k, const scalar_t* v, const scalar_t* out,
                                   const float* lse, const scalar_t* dout, scalar_t* dq, scalar_t* dk, scalar_t* dv,
                                   int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t window) {
    const Problem problem(B, T, H, K, D, window);
    const Scratch delta(B * H * T);
    query_gradients(problem, q, k, v, out, lse, dout, delta, dq);
    key_gradients(problem, q, k, v, lse, dout, delta, dk, dv);
}
