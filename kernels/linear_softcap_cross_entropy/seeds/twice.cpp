// Head and soft-capped cross-entropy in four products: the forward keeps one number a row, the backward makes logits
// again, a cache-sized block of rows at a time.
//
//   l = x W^T,  z_j = 15 tanh(l_j / 15),  loss = log sum_j exp(z_j) - z_t
//   g_j = dloss (p_j - [j = t]) (1 - tanh^2),  dx = g W,  dW = g^T x    (logits made twice and never stored: Wijmans et
//   al. 2024, https://arxiv.org/abs/2411.09009; cap: Gemma 2, https://arxiv.org/abs/2408.00118)
//
// With r_j = 1 / (2^(2 l_j log2(e) / 15) + 1):  tanh = 1 - 2 r,  z_j - 15 = -30 r_j,  1 - tanh^2 = 4 r (1 - r). The cap
// bounds z, so 15 is a safe shift: no maximum is searched.
//
// Exponentials are bounded, so they need no guards: 2^t = 2^floor(t) (1 + f q(f)), f = t - floor(t), with q a minimax
// polynomial of degree 5 that is off by 8e-8 relative; rounding a capped logit to float32 moves exp(z) by up to 9e-7.
//
// Threads own groups of rows in all products but the last, and groups of the vocabulary there; blocks have the same
// bounds for any number of threads, so bits do not depend on it. Layout: x (N, C), weight (V, C), row-major. All sums
// in float32, g as well; one rounding at each store. Written from the equations.
//
// tune: CHUNK in 384 768 192
// tune: GROUP in 24 48 96
// tune: DEPTH in 1024 512 4096
// tune: GEMM_BLOCK_KIB in 256 128 512 768
// tune: GEMM_TASKS in 6 3 12
// saves: weight_sum float32 N

#include <kernelsearch/gemm.h>

#include <algorithm>
#include <cmath>
#include <deque>

namespace {

using namespace ks;

constexpr float CAP = 15.0f;
constexpr float LOG2_E = 1.44269504f;
constexpr int64_t VOCABULARY_GROUP = 252;  // rows of dW a task of the third product makes: whole row tiles

inline Vec polynomial(Vec f) {
    const Vec q = f * 1.8671300e-3f + 9.0170307e-3f;
    return (((q * f + 5.5799913e-2f) * f + 2.4016444e-1f) * f + 6.9315130e-1f) * f + 1.0f;
}

// 2^t for |t| <= 120; NaN stays NaN.
inline Vec power_of_two(Vec t) {
#if defined(__AVX512DQ__)
    const Vec f = _mm512_maskz_reduce_ps(ALL, t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_maskz_scalef_ps(ALL, polynomial(f), t);
#else
    IntVec whole = __builtin_convertvector(t, IntVec);
    whole += __builtin_convertvector(whole, Vec) > t;  // true is -1: truncation becomes floor
    const Vec f = t - __builtin_convertvector(whole, Vec);
    return polynomial(f) * reinterpret_cast<Vec>((whole + 127) << 23);
#endif
}

inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec estimate = _mm512_maskz_rcp14_ps(ALL, x);
    return estimate + estimate * (1.0f - x * estimate);
#else
    return 1.0f / x;
#endif
}

// r = (1 - tanh(logit / CAP)) / 2, which is 0 or 1 beyond the bounds of the exponent.
inline Vec complement(Vec logit) {
    const Vec t = min(broadcast(60.0f), max(broadcast(-60.0f), logit * (2.0f * LOG2_E / CAP)));
    return reciprocal(power_of_two(t) + 1.0f);
}

inline Vec weight_of(Vec r) { return power_of_two(r * (-2.0f * CAP * LOG2_E)); }

struct Head {
    const scalar_t *x, *weight;
    const int64_t* targets;
    int64_t N, C, V;  // V without padding
    int64_t stride;   // of a row of g; an odd number of vectors keeps neighbouring rows in different cache sets
    ColumnPanels by_vocabulary;  // W^T: neighbours along the vocabulary

    Head(const scalar_t* x, const scalar_t* weight, const int64_t* targets, int64_t N, int64_t C, int64_t V)
        : x(x), weight(weight), targets(targets), N(N), C(C), V(V), stride(round_up(V, 2 * LANES) + LANES),
          by_vocabulary(matrix(weight, V, C)) {}
};

// Logits of rows [begin, begin + count).
void make_logits(const Head& head, int64_t begin, int64_t count, float* logits) {
    const RowPanels rows(matrix(head.x + begin * head.C, count, head.C));
    multiply(rows, head.by_vocabulary, [&](int64_t i, int64_t j, Vec part, int64_t) {
        store(logits + i * head.stride + j, part);
    });
}

// S, the sum of w of a row.
float sum_of_row(const float* logits, int64_t V) {
    Vec sums[2] = {};
    int64_t j = 0;
    for (; j + 2 * LANES <= V; j += 2 * LANES)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) sums[half] += weight_of(complement(load(logits + j + half * LANES)));
    for (; j < V; j += LANES) sums[0] += keep_first(weight_of(complement(load(logits + j))), V - j);
    return sum(sums[0] + sums[1]);
}

// Logits of a row to g, in place.
void make_gradients(float* row, int64_t V, int64_t target, float weight_sum, float dloss) {
    const float factor = 4.0f * dloss / weight_sum;
    const Vec own = complement(broadcast(row[target]));
    for (int64_t j = 0; j < V; j += LANES) {
        const Vec r = complement(load(row + j));
        store(row + j, weight_of(r) * factor * (r - r * r));
    }
    row[target] = ((weight_of(own) - weight_sum) * factor * (own - own * own))[0];
}

// dx of some rows from their g.
void make_dx(const Head& head, const std::deque<ColumnPanels>& by_channel, int64_t count, const float* g, float* sums,
             scalar_t* dx) {
    int64_t v = 0;
    std::fill_n(sums, count * head.C, 0.0f);
    for (const ColumnPanels& channels : by_channel) {
        const RowPanels rows(Matrix<float>{g + v, count, channels.depth(), head.stride});
        multiply(rows, channels, [&](int64_t i, int64_t c, Vec part, int64_t valid) {
            float* cell = sums + i * head.C + c;
            write(cell, read(cell, valid) + part, valid);
        });
        v += channels.depth();
    }
    for (int64_t i = 0; i < count * head.C; i += LANES) {
        const int64_t valid = std::min<int64_t>(LANES, count * head.C - i);
        write(dx + i, read(sums + i, valid), valid);
    }
}

// Adds to dW what `rows` rows from `first` give.
void add_dweight(const Head& head, int64_t first, int64_t rows, const float* g, float* dweight) {
    const ColumnPanels x_columns(matrix(head.x + first * head.C, rows, head.C).transposed());
    const int threads = usable_threads(rows * head.C * head.V);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t v = 0; v < head.V; v += VOCABULARY_GROUP) {
        const int64_t count = std::min(VOCABULARY_GROUP, head.V - v);
        const RowPanels g_columns(Matrix<float>{g + v, rows, count, head.stride}.transposed());
        multiply(g_columns, x_columns, [&](int64_t i, int64_t c, Vec part, int64_t valid) {
            float* cell = dweight + (v + i) * head.C + c;
            write(cell, read(cell, valid) + part, valid);
        });
    }
}

}  // namespace

extern "C" void linear_softcap_cross_entropy_forward(const scalar_t* x, const scalar_t* weight, const int64_t* targets,
                                                     float* loss, float* weight_sum, int64_t N, int64_t C, int64_t V,
                                                     int64_t vocab_size) {
    const Head head(x, weight, targets, N, C, std::min(V, vocab_size));
    const int threads = usable_threads(N * C * head.V);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        Scratch logits(GROUP * head.stride);
#pragma omp for schedule(dynamic)
        for (int64_t begin = 0; begin < N; begin += GROUP) {
            const int64_t count = std::min<int64_t>(GROUP, N - begin);
            make_logits(head, begin, count, logits);
            for (int64_t i = 0; i < count; i++) {
                const int64_t row = begin + i;
                const float* own = logits + i * head.stride;
                loss[row] = 0.0f;
                weight_sum[row] = 1.0f;
                if (targets[row] < 0) continue;
                weight_sum[row] = sum_of_row(own, head.V);
                loss[row] = std::log(weight_sum[row]) + 2.0f * CAP * complement(broadcast(own[targets[row]]))[0];
            }
        }
    }
}

extern "C" void linear_softcap_cross_entropy_backward(const scalar_t* x, const scalar_t* weight, const int64_t* targets,
                                                      const float*, const float* weight_sum, const float* dloss,
                                                      scalar_t* dx, scalar_t* dweight, int64_t N, int64_t C, int64_t V,
                                                      int64_t vocab_size) {
    const Head head(x, weight, targets, N, C, std::min(V, vocab_size));
    std::deque<ColumnPanels> by_channel;  // W: neighbours along the channels, DEPTH rows of W each
    for (int64_t v = 0; v < head.V; v += DEPTH)
        by_channel.emplace_back(
            matrix(weight, V, C).slice_rows(v, std::min<int64_t>(DEPTH, head.V - v)).transposed());
    const int64_t chunk = std::min<int64_t>(CHUNK, N);
    Scratch g(chunk * head.stride), dweight_sums(head.V * C);
    std::fill_n(static_cast<float*>(dweight_sums), head.V * C, 0.0f);
    const int threads = usable_threads(chunk * C * head.V);
    for (int64_t first = 0; first < N; first += chunk) {
        const int64_t rows = std::min(chunk, N - first);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Scratch sums(GROUP * C);
#pragma omp for schedule(dynamic)
            for (int64_t begin = 0; begin < rows; begin += GROUP) {
                const int64_t count = std::min<int64_t>(GROUP, rows - begin), row = first + begin;
                float* g_rows = g + begin * head.stride;
                make_logits(head, row, count, g_rows);
                for (int64_t i = 0; i < count; i++) {
                    float* own = g_rows + i * head.stride;
                    if (targets[row + i] < 0)
                        std::fill_n(own, head.V, 0.0f);
                    else
                        make_gradients(own, head.V, targets[row + i], weight_sum[row + i], dloss[row + i]);
                }
                make_dx(head, by_channel, count, g_rows, sums, dx + row * C);
            }
        }
        add_dweight(head, first, rows, g, dweight_sums);
    }
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t v = 0; v < V; v++)
        for (int64_t c = 0; c < C; c += LANES) {
            const int64_t valid = std::min<int64_t>(LANES, C - c);
            write(dweight + v * C + c, v < head.V ? read(dweight_sums + v * C + c, valid) : Vec{}, valid);
        }
}
