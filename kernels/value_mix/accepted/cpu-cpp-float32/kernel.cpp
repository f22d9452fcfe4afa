// Gated value embeddings: gates saved, a backward pass over positions and one over table rows, without the order.
//
//   s_nk = 1 / (1 + exp(-w_k . x_n)),  mixed_nk = v_nk + 3 s_nk e_nk,  e_n = table[tokens_n]
//   a_nk = 3 s_nk (1 - s_nk) (dmixed_nk . e_nk),  dx_n = sum_k a_nk w_k,  dw_k = sum_n a_nk x_n
//   dtable_v = sum over n with tokens_n = v of 3 s_n dmixed_n                       (written from the equations)
//
// The first pass takes positions as they come, BLOCK of them a task, and has a share of dw for each task. For the second,
// the positions of each token are linked from the last to the first, which needs no sorted order; threads then own table
// rows and write each once: zeros, or the sum along its chain, kept in the L1 cache.
//
// Layout: (N, K, D), (N, G), (K, G), (V, K*D) row-major. Float32 inside; sums in the order of positions, dw per task and
// the tasks in order in float64: results do not depend on the number of threads.
// A vector holds the gates of LANES positions; channels beyond whole vectors go by masked loads and stores.
//
// tune: BLOCK in 32 8 128
// tune: ROWS_PER_TASK in 256 64 1024
// saves: opening float32 N K

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace ks;

constexpr float PEAK = 3.0f;
constexpr int32_t NONE = -1;

// `count` of LANES elements, by one masked instruction where the machine has it; absent lanes are zero.
template <class T>
inline Vec load_lanes(const T* p, int64_t count) {
    if (count >= LANES) return load(p);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
#endif
    return load_first(p, count);
}

template <class T>
inline void store_lanes(T* p, Vec x, int64_t count) {
    if (count >= LANES) return store(p, x);
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), x);
#endif
    store_first(p, x, count);
}

// f(j, count) for each vector of a row; count < LANES only in the last, so that the others need no test.
template <class F>
inline void for_vectors(int64_t n, F f) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) f(j, int64_t{LANES});
    if (j < n) f(j, n - j);
}

inline float dot(const scalar_t* a, const scalar_t* b, int64_t n) {
    Vec even = {}, odd = {};
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) {
        even += load(a + j) * load(b + j);
        odd += load(a + j + LANES) * load(b + j + LANES);
    }
    for (; j < n; j += LANES) even += load_lanes(a + j, n - j) * load_lanes(b + j, n - j);
    return sum(even + odd);
}

// The gates' weights, each head's row padded by zeros to whole vectors.
void pad_weights(const float* weight, int64_t K, int64_t G, float* rows) {
    const int64_t padded = round_up(G, LANES);
    for (int64_t k = 0; k < K; k++) {
        std::copy_n(weight + k * G, G, rows + k * padded);
        std::fill_n(rows + k * padded + G, padded - G, 0.0f);
    }
}

// One head's gates of `count` positions in one vector: their products side by side, and one exponential for all.
inline Vec open_gates(const scalar_t* x, const float* weight, int64_t count, int64_t G) {
    Vec rows[LANES] = {};
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < G; j += LANES) rows[i] += load_lanes(x + i * G + j, G - j) * load(weight + j);
    transpose(rows);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) rows[i] += rows[i + half];
    return 1.0f / (1.0f + ks::exp(-rows[0]));
}

// A position's row of dx, and its share of dw; `weight` and the rows of `dweight` are padded to whole vectors.
void gate_backward(const scalar_t* x, const float* weight, const float* opening, const scalar_t* e, const scalar_t* d,
                   int64_t K, int64_t D, int64_t G, scalar_t* dx, float* slopes, float* dweight) {
    const int64_t padded = round_up(G, LANES);
    for (int64_t k = 0; k < K; k++) {
        const float s = opening[k];
        slopes[k] = PEAK * s * (1.0f - s) * dot(d + k * D, e + k * D, D);
    }
    for_vectors(G, [&](int64_t j, int64_t count) {
        const Vec input = load_lanes(x + j, count);
        Vec total = {};
        for (int64_t k = 0; k < K; k++) {
            float* share = dweight + k * padded + j;
            store(share, load(share) + input * slopes[k]);
            total += load(weight + k * padded + j) * slopes[k];
        }
        store_lanes(dx + j, total, count);
    });
}

}  // namespace

extern "C" void value_mix_forward(const scalar_t* v, const scalar_t* gate_input, const float* gate_weight,
                                  const scalar_t* table, const int64_t* tokens, const int64_t*, scalar_t* mixed,
                                  float* opening, int64_t N, int64_t K, int64_t D, int64_t G, int64_t, int64_t C) {
    const int64_t padded = round_up(G, LANES);
    const Scratch weight(K * padded);
    pad_weights(gate_weight, K, G, weight);
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < N; first += LANES) {
        const int64_t count = std::min<int64_t>(LANES, N - first);
        for (int64_t k = 0; k < K; k++) {
            const Vec open = open_gates(gate_input + first * G, weight + k * padded, count, G);
            for (int64_t i = 0; i < count; i++) opening[(first + i) * K + k] = open[i];
        }
        for (int64_t n = first; n < first + count; n++) {
            const scalar_t* row = table + tokens[n] * C;
            for (int64_t k = 0; k < K; k++) {
                const float gate = PEAK * opening[n * K + k];
                const int64_t at = n * C + k * D;
                const scalar_t* e = row + k * D;
                for_vectors(D, [&](int64_t j, int64_t lanes) {
                    store_lanes(mixed + at + j, load_lanes(v + at + j, lanes) + load_lanes(e + j, lanes) * gate, lanes);
                });
            }
        }
    }
}

extern "C" void value_mix_backward(const scalar_t*, const scalar_t* gate_input, const float* gate_weight,
                                   const scalar_t* table, const int64_t* tokens, const int64_t*, const scalar_t*,
                                   const float* opening, const scalar_t* dmixed, scalar_t* dgate_input,
                                   float* dgate_weight, scalar_t* dtable, int64_t N, int64_t K, int64_t D, int64_t G,
                                   int64_t V, int64_t C) {
    std::vector<int32_t> head(static_cast<std::size_t>(V), NONE), next(static_cast<std::size_t>(N));
    for (int64_t n = N - 1; n >= 0; n--)
        next[static_cast<std::size_t>(n)] =
            std::exchange(head[static_cast<std::size_t>(tokens[n])], static_cast<int32_t>(n));
    const int64_t tasks = (N + BLOCK - 1) / BLOCK, padded = round_up(G, LANES), width = K * padded;
    const Scratch partial(tasks * width), weight(width);
    pad_weights(gate_weight, K, G, weight);
#pragma omp parallel
    {
        const Scratch sums(C + LANES), slopes(K);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < tasks; task++) {
            float* dweight = partial + task * width;
            std::fill_n(dweight, width, 0.0f);
            for (int64_t n = task * BLOCK; n < std::min<int64_t>(N, (task + 1) * BLOCK); n++) {
                gate_backward(gate_input + n * G, weight, opening + n * K, table + tokens[n] * C, dmixed + n * C, K, D, G,
                              dgate_input + n * G, slopes, dweight);
            }
        }
#pragma omp for schedule(dynamic, ROWS_PER_TASK)
        for (int64_t row = 0; row < V; row++) {
            int32_t n = head[static_cast<std::size_t>(row)];
            if (n == NONE) {
                std::fill_n(dtable + row * C, C, scalar_t{});
                continue;
            }
            std::fill_n(static_cast<float*>(sums), C, 0.0f);
            for (; n != NONE; n = next[static_cast<std::size_t>(n)])
                for (int64_t k = 0; k < K; k++) {
                    const float gate = PEAK * opening[n * K + k];
                    const scalar_t* d = dmixed + n * C + k * D;
                    float* total = sums + k * D;
                    for_vectors(D, [&](int64_t j, int64_t count) {
                        store_lanes(total + j, load_lanes(total + j, count) + load_lanes(d + j, count) * gate, count);
                    });
                }
            for_vectors(C, [&](int64_t j, int64_t count) {
                store_lanes(dtable + row * C + j, load_lanes(sums + j, count), count);
            });
        }
    }
    for (int64_t k = 0; k < K; k++)
        for (int64_t g = 0; g < G; g++) {
            double total = 0;
            for (int64_t task = 0; task < tasks; task++) total += partial[task * width + k * padded + g];
            dgate_weight[k * G + g] = static_cast<float>(total);
        }
}
