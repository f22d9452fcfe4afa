// Head and soft-capped cross-entropy in three products: the forward already makes the gradients for an upstream
// gradient of 1, from logits that live in a cache-sized block of rows and are never stored.
//
//   l = x W^T,  z_j = 15 tanh(l_j / 15),  loss = log sum_j exp(z_j) - z_t
//   g_j = dloss (p_j - [j = t]) (1 - tanh^2),  dx = g W,  dW = g^T x    (not to hold the logits: Wijmans et al. 2024,
//   https://arxiv.org/abs/2411.09009; cap: Gemma 2, https://arxiv.org/abs/2408.00118)
//
// With r_j = 1 / (2^(2 l_j log2(e) / 15) + 1):  tanh = 1 - 2 r,  z_j - 15 = -30 r_j,  1 - tanh^2 = 4 r (1 - r). The cap
// bounds z, so 15 is a safe shift. One sweep over a row of logits therefore makes u_j = w_j (r_j - r_j^2) in place,
// w_j = exp(z_j - 15), without knowing the row's sum S of w. The factor f = 4 / S of a row is applied where that is
// cheap: dx = f (u W), dW = u^T (f x). Only the target's element needs S: u_t = (w_t - S) (r_t - r_t^2).
//
// Exponentials are bounded, so they need no guards: 2^t = 2^floor(t) (1 + f q(f)), f = t - floor(t), with q a minimax
// polynomial of degree 5 that is off by 8e-8 relative; rounding a capped logit to float32 moves exp(z) by up to 9e-7.
//
// The backward scales dx by rows. It scales dW too where every row that counts has the same upstream gradient, as the
// mean has; otherwise the rows are gone through again, with f times dloss.
//
// Threads own groups of rows in the first two products and groups of the vocabulary in the third; blocks have the same
// bounds for any number of threads, so bits do not depend on it. Layout: x (N, C), weight (V, C), row-major. All sums
// in float32, u as well; one rounding at each store. Written from the equations.
//
// tune: CHUNK in 384 768 192
// tune: GROUP in 24 48 96
// tune: DEPTH in 1024 512 4096
// tune: GEMM_BLOCK_KIB in 256 128 512 768
// tune: GEMM_TASKS in 6 3 12
// saves: dx_of_one float32 N C
// saves: dweight_of_one float32 V C

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
    int64_t stride;   // of a row of u; an odd number of vectors keeps neighbouring rows in different cache sets
    ColumnPanels by_vocabulary;         // W^T: neighbours along the vocabulary
    std::deque<ColumnPanels> by_channel;  // W: neighbours along the channels, DEPTH rows of W each

    Head(const scalar_t* x, const scalar_t* weight, const int64_t* targets, int64_t N, int64_t C, int64_t V,
         bool needs_dx)
        : x(x), weight(weight), targets(targets), N(N), C(C), V(V), stride(round_up(V, 2 * LANES) + LANES),
          by_vocabulary(matrix(weight, V, C)) {
        for (int64_t v = 0; needs_dx && v < V; v += DEPTH)
            by_channel.emplace_back(matrix(weight, V, C).slice_rows(v, std::min<int64_t>(DEPTH, V - v)).transposed());
    }
};

// Logits of rows [begin, begin + count).
void make_logits(const Head& head, int64_t begin, int64_t count, float* logits) {
    const RowPanels rows(matrix(head.x + begin * head.C, count, head.C));
    multiply(rows, head.by_vocabulary, [&](int64_t i, int64_t j, Vec part, int64_t) {
        store(logits + i * head.stride + j, part);
    });
}

// Logits of a row to u, in place; returns S.
float make_unscaled(float* row, int64_t V) {
    Vec sums[2] = {};
    int64_t j = 0;
    for (; j + 2 * LANES <= V; j += 2 * LANES)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            float* at = row + j + half * LANES;
            const Vec r = complement(load(at)), w = weight_of(r);
            store(at, w * (r - r * r));
            sums[half] += w;
        }
    for (; j < V; j += LANES) {
        const Vec r = complement(load(row + j)), w = weight_of(r);
        store(row + j, w * (r - r * r));
        sums[0] += keep_first(w, V - j);
    }
    return sum(sums[0] + sums[1]);
}

// dx of one for some rows whose u is complete; `factors` are the rows' f.
void make_dx(const Head& head, int64_t count, const float* u, const float* factors, float* dx) {
    int64_t v = 0;
    for (const ColumnPanels& channels : head.by_channel) {
        const RowPanels rows(Matrix<float>{u + v, count, channels.depth(), head.stride});
        const bool is_first = v == 0, is_last = v + channels.depth() == head.V;
        multiply(rows, channels, [&](int64_t i, int64_t c, Vec part, int64_t valid) {
            float* cell = dx + i * head.C + c;
            if (!is_first) part += read(cell, valid);
            write(cell, is_last ? part * factors[i] : part, valid);
        });
        v += channels.depth();
    }
}

// Loss of some rows, and their gradients: `dx` (or null) and the sum dW for upstream gradients `dloss` (or null: 1).
void sweep(const Head& head, const float* dloss, float* loss, float* dx, float* dweight) {
    const int64_t C = head.C, N = head.N;
    std::fill_n(dweight, head.V * C, 0.0f);
    const int64_t chunk = std::min<int64_t>(CHUNK, N);
    Scratch u(chunk * head.stride), scaled(chunk * C);
    const int threads = usable_threads(chunk * C * head.V);
    for (int64_t first = 0; first < N; first += chunk) {
        const int64_t rows = std::min(chunk, N - first);
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            float factors[GROUP];
#pragma omp for schedule(dynamic)
            for (int64_t begin = 0; begin < rows; begin += GROUP) {
                const int64_t count = std::min<int64_t>(GROUP, rows - begin);
                float* u_rows = u + begin * head.stride;
                make_logits(head, first + begin, count, u_rows);
                for (int64_t i = 0; i < count; i++) {
                    const int64_t row = first + begin + i, target = head.targets[row];
                    float *u_row = u_rows + i * head.stride, *scaled_row = scaled + (begin + i) * C;
                    factors[i] = 0.0f;
                    if (loss != nullptr) loss[row] = 0.0f;
                    std::fill_n(scaled_row, C, 0.0f);
                    if (target < 0) {
                        std::fill_n(u_row, head.V, 0.0f);
                        continue;
                    }
                    const Vec r = complement(broadcast(u_row[target]));
                    const float total = make_unscaled(u_row, head.V);
                    u_row[target] = ((weight_of(r) - total) * (r - r * r))[0];
                    if (loss != nullptr) loss[row] = std::log(total) + 2.0f * CAP * r[0];
                    factors[i] = 4.0f / total;
                    const float upstream = dloss == nullptr ? factors[i] : factors[i] * dloss[row];
                    for (int64_t c = 0; c < C; c++) scaled_row[c] = upstream * to_float(head.x[row * C + c]);
                }
                if (dx != nullptr) make_dx(head, count, u_rows, factors, dx + (first + begin) * C);
            }
        }
        const ColumnPanels scaled_columns(matrix<float>(scaled, rows, C).transposed());
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
        for (int64_t v = 0; v < head.V; v += VOCABULARY_GROUP) {
            const int64_t count = std::min(VOCABULARY_GROUP, head.V - v);
            const RowPanels u_columns(Matrix<float>{u + v, rows, count, head.stride}.transposed());
            multiply(u_columns, scaled_columns, [&](int64_t i, int64_t c, Vec part, int64_t valid) {
                float* cell = dweight + (v + i) * C + c;
                write(cell, read(cell, valid) + part, valid);
            });
        }
    }
}

// The upstream gradient that every row with a target has; NaN where they differ.
float common_gradient(const int64_t* targets, const float* dloss, int64_t N) {
    const int64_t first = std::find_if(targets, targets + N, [](int64_t t) { return t >= 0; }) - targets;
    if (first == N) return 0.0f;
    for (int64_t i = first; i < N; i++)
        if (targets[i] >= 0 && !(dloss[i] == dloss[first])) return NAN;
    return dloss[first];
}

void store_scaled(const float* from, float factor, int64_t count, scalar_t* to) {
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t valid = std::min<int64_t>(LANES, count - i);
        write(to + i, read(from + i, valid) * factor, valid);
    }
}

}  // namespace

extern "C" void linear_softcap_cross_entropy_forward(const scalar_t* x, const scalar_t* weight, const int64_t* targets,
                                                     float* loss, float* dx_of_one, float* dweight_of_one, int64_t N,
                                                     int64_t C, int64_t V, int64_t vocab_size) {
    const int64_t used = std::min(V, vocab_size);
    std::fill_n(dweight_of_one + used * C, (V - used) * C, 0.0f);
    sweep(Head(x, weight, targets, N, C, used, true), nullptr, loss, dx_of_one, dweight_of_one);
}

extern "C" void linear_softcap_cross_entropy_backward(const scalar_t* x, const scalar_t* weight, const int64_t* targets,
                                                      const float*, const float* dx_of_one, const float* dweight_of_one,
                                                      const float* dloss, scalar_t* dx, scalar_t* dweight, int64_t N,
                                                      int64_t C, int64_t V, int64_t vocab_size) {
    const int threads = usable_threads(std::max(N, V) * C);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < N; i++) {
        if (targets[i] < 0)
            std::fill_n(dx + i * C, C, scalar_t{});
        else
            store_scaled(dx_of_one + i * C, dloss[i], C, dx + i * C);
    }
    float factor = common_gradient(targets, dloss, N);
    const bool is_common = factor == factor;
    const int64_t used = std::min(V, vocab_size);
    const Scratch again(is_common ? 0 : used * C);
    if (!is_common) {
        sweep(Head(x, weight, targets, N, C, used, false), dloss, nullptr, nullptr, again);
        factor = 1.0f;
    }
    const float* sums = is_common ? dweight_of_one : static_cast<const float*>(again);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t v = 0; v < V; v++) {
        if (v < used)
            store_scaled(sums + v * C, factor, C, dweight + v * C);
        else
            std::fill_n(dweight + v * C, C, scalar_t{});
    }
}
