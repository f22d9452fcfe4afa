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
//
// tune: BLOCK_QUERIES in 32 16 64
// tune: BLOCK_KEYS in 128 64 32
// tune: TILE_ROWS in 8 12
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

// One query block: scores of its whole window, softmax in place, then the weighted sum of values.
void forward_block(const float* keys, const float* values, const float* queries_T, float* scores, float* sums,
                   int64_t query, int64_t count, int64_t D, int64_t stride, int64_t window, int64_t key_offset,
                   float* lse) {
    const int64_t low = first_key(query, window), length = query + count - low;
    const float* window_keys = keys + (low - key_offset) * stride;
    const float* window_values = values + (low - key_offset) * stride;
    product<false>(length, QUERY_VECTORS, D, window_keys, stride, 1, queries_T, QUERY_STRIDE, scores, QUERY_STRIDE);
    float inverse[QUERY_STRIDE];
    for (int64_t i = 0; i < QUERY_STRIDE; i += LANES) {
        Vec top = broadcast(-INFINITY), total = Vec{};
        for (int64_t j = 0; j < length; j++) {
            float* cell = scores + j * QUERY_STRIDE + i;
            const Vec score = masked(load(cell), low + j, query + i, window);
            store(cell, score);
            top = max(top, score);
        }
        for (int64_t j = 0; j < length; j++) {
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
    for (int64_t j = 0; j < length; j += BLOCK_KEYS) {
        const int64_t steps = std::min<int64_t>(BLOCK_KEYS, length - j);
        product<true>(count, stride / LANES, steps, scores + j * QUERY_STRIDE, 1, QUERY_STRIDE,
                      window_values + j * stride, stride, sums, stride);
    }
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
void softmax_backward_tile(float* weights, float* dscores, int64_t key, int64_t keys, int64_t query, int64_t window,
                           const float* lse, const float* delta, float scale) {
    for (int64_t i = 0; i < QUERY_STRIDE; i += LANES) {
        const Vec row_lse = load(lse + i), row_delta = load(delta + i);
        for (int64_t j = 0; j < keys; j++) {
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
        const int64_t length = std::min<int64_t>(BLOCK_KEYS, high - key);
        const float* tile_keys = keys + key * stride;
        product<false>(length, QUERY_VECTORS, D, tile_keys, stride, 1, scratch.queries_T, QUERY_STRIDE, scratch.weights,
                       QUERY_STRIDE);
        product<false>(length, QUERY_VECTORS, D, values + key * stride, stride, 1, scratch.douts_T, QUERY_STRIDE,
                       scratch.dscores, QUERY_STRIDE);
        softmax_backward_tile(scratch.weights, scratch.dscores, key, length, query, window, lse, delta, scale);
        product<true>(length, vectors, count, scratch.weights, QUERY_STRIDE, 1, scratch.douts, stride,
                      dvalues + key * stride, stride);
        product<true>(length, vectors, count, scratch.dscores, QUERY_STRIDE, 1, scratch.queries, stride,
                      dkeys + key * stride, stride);
        product<true>(count, vectors, length, scratch.dscores, 1, QUERY_STRIDE, tile_keys, stride, scratch.dqueries,
                      stride);
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
