// Normed rows with a gated share of the row before: nothing saved, nothing buffered.
//
//   r_t = (mean(rows_t^2) + 2^-23)^-1/2,  s_t = 1 / (1 + exp(-r_t w . rows_t)),  out_t = r_t rows_t + l s_t r_{t-1} rows_{t-1}
//   u_t = dout_t + l s_{t+1} dout_{t+1},  e_t = r_{t-1} dout_t . rows_{t-1},  a_t = l e_t s_t (1 - s_t)
//   drows_t = r_t (u_t + a_t w - r_t rows_t (r_t u_t . rows_t + a_t r_t w . rows_t) / C)
//   dw = sum a_t r_t rows_t,  dl = sum e_t s_t
//   (the norm: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467; written from the equations)
//
// A task is SPAN positions of one sequence. Its first sweep makes the inverse lengths and gates of its rows and of one
// more at either end, GROUP rows in lockstep, which hides the latency of their sums; the backward makes them again. Every
// later sweep reads rows that are still in the cache and scales them on the way.
// Layout: (B, T, C) row-major. Float32 inside, one rounding at each store. dw and dl are summed per task, and the tasks in
// order, in float64: results do not depend on the number of threads.
//
// tune: SPAN in 32 16 64 128
// tune: GROUP in 4 2 1

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

template <class T>
inline Vec load_lanes(const T* p, int64_t count) {
    return count >= LANES ? load(p) : load_first(p, count);
}

template <class T>
inline void store_lanes(T* p, Vec x, int64_t count) {
    if (count >= LANES)
        store(p, x);
    else
        store_first(p, x, count);
}

// f(j, count) for each vector of a row; count < LANES only in the last, so that the others need no test.
template <class F>
inline void for_vectors(int64_t C, F f) {
    int64_t j = 0;
    for (; j + LANES <= C; j += LANES) f(j, int64_t{LANES});
    if (j < C) f(j, C - j);
}

// w . row, before the norm.
inline float raw_score(const scalar_t* row, const float* weight, int64_t G) {
    Vec total = {};
    for_vectors(G, [&](int64_t j, int64_t count) { total += load_lanes(row + j, count) * load_lanes(weight + j, count); });
    return sum(total);
}

// A span of one sequence with a row more at either end where there is one; place i holds position `from` + i.
struct Span {
    int64_t from, first, end, to;
    float inverse[SPAN + 2], score[SPAN + 2], gate[SPAN + 2];

    Span(int64_t task, int64_t T) {
        const int64_t spans = (T + SPAN - 1) / SPAN;
        first = task % spans * SPAN;
        end = std::min<int64_t>(T, first + SPAN);
        from = std::max<int64_t>(0, first - 1);
        to = std::min<int64_t>(T, end + 1);
    }

    template <int ROWS>
    void measure(const scalar_t* row, int64_t i, const float* weight, int64_t C, int64_t G) {
        Vec squares[ROWS] = {};
        for_vectors(C, [&](int64_t j, int64_t count) {
#pragma GCC unroll 4
            for (int k = 0; k < ROWS; k++) {
                const Vec value = load_lanes(row + k * C + j, count);
                squares[k] += value * value;
            }
        });
        for (int k = 0; k < ROWS; k++) {
            const float r = 1.0f / std::sqrt(sum(squares[k]) / static_cast<float>(C) + EPSILON);
            inverse[i + k] = r;
            score[i + k] = r * raw_score(row + k * C, weight, G);
            gate[i + k] = from + i + k == 0 ? 0.0f : 1.0f / (1.0f + std::exp(-score[i + k]));
        }
    }

    // `rows` is the sequence's.
    void measure_all(const scalar_t* rows, const float* weight, int64_t C, int64_t G) {
        int64_t t = from;
        for (; t + GROUP <= to; t += GROUP) measure<GROUP>(rows + t * C, t - from, weight, C, G);
        for (; t < to; t++) measure<1>(rows + t * C, t - from, weight, C, G);
    }
};

// One row of drows; adds to the sums of dw (round_up(G, LANES) of them) and dl.
void backward_row(const Span& span, int64_t t, const scalar_t* rows, const scalar_t* dout, const float* weight,
                  float smear, int64_t T, int64_t C, int64_t G, scalar_t* drows, float* dweight, float& dsmear) {
    const int64_t i = t - span.from;
    const scalar_t *now = rows + t * C, *before = t > 0 ? now - C : now;
    const scalar_t *dnow = dout + t * C, *dnext = t + 1 < T ? dnow + C : dnow;
    const float r = span.inverse[i], next = t + 1 < T ? smear * span.gate[i + 1] : 0.0f;
    const auto upstream = [&](int64_t j, int64_t count) {
        const Vec d = load_lanes(dnow + j, count);
        return next == 0.0f ? d : d + load_lanes(dnext + j, count) * next;
    };
    Vec with_before = {}, with_itself = {};
    for_vectors(C, [&](int64_t j, int64_t count) {
        with_before += load_lanes(dnow + j, count) * load_lanes(before + j, count);
        with_itself += upstream(j, count) * load_lanes(now + j, count);
    });
    const float e = t > 0 ? sum(with_before) * span.inverse[i - 1] : 0.0f;
    const float s = span.gate[i], a = smear * e * s * (1.0f - s);
    const float mean = (r * sum(with_itself) + a * span.score[i]) / static_cast<float>(C), share = r * mean;
    dsmear += e * s;
    int64_t j = 0;
    for (; j < G; j += LANES) {
        const int64_t gating = std::min<int64_t>(LANES, G - j), count = std::min<int64_t>(LANES, C - j);
        const Vec x = load_lanes(now + j, count), w = load_lanes(weight + j, gating);
        store(dweight + j, load(dweight + j) + keep_first(x, gating) * (a * r));
        store_lanes(drows + t * C + j, (upstream(j, count) + w * a - x * share) * r, count);
    }
    for (; j < C; j += LANES) {
        const int64_t count = std::min<int64_t>(LANES, C - j);
        store_lanes(drows + t * C + j, (upstream(j, count) - load_lanes(now + j, count) * share) * r, count);
    }
}

}  // namespace

extern "C" void smear_embed_forward(const scalar_t* rows, const float* gate_weight, const float* smear, scalar_t* out,
                                    int64_t B, int64_t T, int64_t C, int64_t G, int64_t) {
    const int64_t spans = (T + SPAN - 1) / SPAN;
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < B * spans; task++) {
        Span span(task, T);
        span.to = span.end;
        const scalar_t* sequence = rows + task / spans * T * C;
        span.measure_all(sequence, gate_weight, C, G);
        for (int64_t t = span.first; t < span.end; t++) {
            const int64_t i = t - span.from;
            const scalar_t *now = sequence + t * C, *before = t > 0 ? now - C : now;
            const float r = span.inverse[i], share = t > 0 ? *smear * span.gate[i] * span.inverse[i - 1] : 0.0f;
            scalar_t* to = out + (task / spans * T + t) * C;
            for_vectors(C, [&](int64_t j, int64_t count) {
                const Vec x = load_lanes(now + j, count) * r;
                store_lanes(to + j, t > 0 ? x + load_lanes(before + j, count) * share : x, count);
            });
        }
    }
}

extern "C" void smear_embed_backward(const scalar_t* rows, const float* gate_weight, const float* smear, const scalar_t*,
                                     const scalar_t* dout, scalar_t* drows, float* dgate_weight, float* dsmear,
                                     int64_t B, int64_t T, int64_t C, int64_t G, int64_t) {
    const int64_t spans = (T + SPAN - 1) / SPAN, width = round_up(G, LANES) + 1;
    const Scratch partial(B * spans * width);
#pragma omp parallel for schedule(static)
    for (int64_t task = 0; task < B * spans; task++) {
        float* sums = partial + task * width;
        std::fill_n(sums, width, 0.0f);
        Span span(task, T);
        const int64_t begin = task / spans * T * C;
        span.measure_all(rows + begin, gate_weight, C, G);
        for (int64_t t = span.first; t < span.end; t++)
            backward_row(span, t, rows + begin, dout + begin, gate_weight, *smear, T, C, G, drows + begin, sums,
                         sums[width - 1]);
    }
    for (int64_t g = 0; g <= G; g++) {
        double total = 0;
        for (int64_t task = 0; task < B * spans; task++) total += partial[task * width + (g < G ? g : width - 1)];
        (g < G ? dgate_weight[g] : *dsmear) = static_cast<float>(total);
    }
}
