// Normed rows with a gated share of the row before: each row's inverse length and gate are saved for the backward.
//
//   r_t = (mean(rows_t^2) + 2^-23)^-1/2,  x_t = r_t rows_t,  s_t = 1 / (1 + exp(-w . x_t)),  out_t = x_t + l s_t x_{t-1}
//   u_t = dout_t + l s_{t+1} dout_{t+1},  e_t = dout_t . x_{t-1},  a_t = l e_t s_t (1 - s_t)
//   drows_t = r_t (u_t + a_t w - x_t (u_t . x_t + a_t w . x_t) / C),  dw = sum a_t x_t,  dl = sum e_t s_t
//   (the norm: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467; written from the equations)
//
// A task is SPAN positions of one sequence. The forward keeps the normed row before in the L1 cache; the backward needs
// one sweep over four rows for both products, and one to write. Row 0 has s = 0, which makes it no exception.
// Layout: (B, T, C) row-major. Float32 inside, one rounding at each store. dw and dl are summed per task, and the tasks in
// order, in float64: results do not depend on the number of threads.
//
// tune: SPAN in 64 32 128
// tune: UNROLL in 2 4 1
// saves: inverse float32 B T
// saves: gate float32 B T

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

// f(j, count, u) for each vector of a row, whole ones UNROLL at a time; count < LANES only in the last.
template <class F>
inline void for_vectors(int64_t C, F f) {
    int64_t j = 0;
    for (; j + UNROLL * LANES <= C; j += UNROLL * LANES)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; u++) f(j + u * LANES, int64_t{LANES}, u);
    for (; j + LANES <= C; j += LANES) f(j, int64_t{LANES}, 0);
    if (j < C) f(j, C - j, 0);
}

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

struct Sum {
    Vec parts[UNROLL] = {};
    float total() const {
        Vec x = parts[0];
        for (int u = 1; u < UNROLL; u++) x += parts[u];
        return sum(x);
    }
};

// The normed row into the buffer; returns its inverse root mean square.
float norm_row(const scalar_t* row, int64_t C, float* x) {
    Sum squares;
    for_vectors(C, [&](int64_t j, int64_t count, int u) {
        const Vec value = load_lanes(row + j, count);
        store(x + j, value);
        squares.parts[u] += value * value;
    });
    const float r = 1.0f / std::sqrt(squares.total() / static_cast<float>(C) + EPSILON);
    for_vectors(C, [&](int64_t j, int64_t, int) { store(x + j, load(x + j) * r); });
    return r;
}

inline float score(const float* x, const float* weight, int64_t G) {
    Vec total = {};
    for (int64_t j = 0; j < G; j += LANES) {
        const int64_t count = std::min<int64_t>(LANES, G - j);
        total += load_lanes(x + j, count) * load_lanes(weight + j, count);
    }
    return sum(total);
}

}  // namespace

extern "C" void smear_embed_forward(const scalar_t* rows, const float* gate_weight, const float* smear, scalar_t* out,
                                    float* inverse, float* gate, int64_t B, int64_t T, int64_t C, int64_t G, int64_t) {
    const int64_t spans = (T + SPAN - 1) / SPAN;
#pragma omp parallel
    {
        const Scratch space(2 * (C + LANES));
        float *x = space, *before = space + (C + LANES);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < B * spans; task++) {
            const int64_t first = task % spans * SPAN, begin = task / spans * T;
            if (first > 0)
                norm_row(rows + (begin + first - 1) * C, C, before);
            else
                std::fill_n(before, C + LANES, 0.0f);
            for (int64_t t = first; t < std::min<int64_t>(T, first + SPAN); t++) {
                const int64_t row = begin + t;
                inverse[row] = norm_row(rows + row * C, C, x);
                gate[row] = t == 0 ? 0.0f : 1.0f / (1.0f + std::exp(-score(x, gate_weight, G)));
                const float share = *smear * gate[row];
                for_vectors(C, [&](int64_t j, int64_t count, int) {
                    store_lanes(out + row * C + j, load(x + j) + load(before + j) * share, count);
                });
                std::swap(x, before);
            }
        }
    }
}

extern "C" void smear_embed_backward(const scalar_t* rows, const float* gate_weight, const float* smear, const scalar_t*,
                                     const float* inverse, const float* gate, const scalar_t* dout, scalar_t* drows,
                                     float* dgate_weight, float* dsmear, int64_t B, int64_t T, int64_t C, int64_t G, int64_t) {
    const int64_t spans = (T + SPAN - 1) / SPAN, width = round_up(G, LANES) + 1;
    const Scratch partial(B * spans * width);
#pragma omp parallel
    {
        const Scratch space(2 * (C + LANES));
        float *u = space, *x = space + (C + LANES);
#pragma omp for schedule(static)
        for (int64_t task = 0; task < B * spans; task++) {
            float* sums = partial + task * width;
            std::fill_n(sums, width, 0.0f);
            const int64_t first = task % spans * SPAN, begin = task / spans * T;
            for (int64_t t = first; t < std::min<int64_t>(T, first + SPAN); t++) {
                const int64_t row = begin + t;
                const scalar_t* dnow = dout + row * C;
                const scalar_t* dnext = t + 1 < T ? dnow + C : dnow;
                const scalar_t* now = rows + row * C;
                const scalar_t* before = t > 0 ? now - C : now;
                const float r = inverse[row], next_share = t + 1 < T ? *smear * gate[row + 1] : 0.0f;
                Sum with_before, with_itself;
                for_vectors(C, [&](int64_t j, int64_t count, int part) {
                    const Vec d = load_lanes(dnow + j, count), normed = load_lanes(now + j, count) * r;
                    const Vec both = next_share == 0.0f ? d : d + load_lanes(dnext + j, count) * next_share;
                    with_before.parts[part] += d * load_lanes(before + j, count);
                    with_itself.parts[part] += both * normed;
                    store(u + j, both);
                    store(x + j, normed);
                });
                const float s = gate[row], e = t > 0 ? with_before.total() * inverse[row - 1] : 0.0f;
                const float a = *smear * e * s * (1.0f - s);
                for (int64_t g = 0; g < G; g += LANES) {
                    const int64_t count = std::min<int64_t>(LANES, G - g);
                    const Vec w = load_lanes(gate_weight + g, count);
                    store(sums + g, load(sums + g) + keep_first(load(x + g), count) * a);
                    store_lanes(u + g, load(u + g) + w * a, count);
                }
                sums[width - 1] += e * s;
                const float mean = (with_itself.total() + a * score(x, gate_weight, G)) / static_cast<float>(C);
                for_vectors(C, [&](int64_t j, int64_t count, int) {
                    store_lanes(drows + row * C + j, (load(u + j) - load(x + j) * mean) * r, count);
                });
            }
        }
    }
    for (int64_t g = 0; g <= G; g++) {
        double total = 0;
        for (int64_t task = 0; task < B * spans; task++) total += partial[task * width + (g < G ? g : width - 1)];
        (g < G ? dgate_weight[g] : *dsmear) = static_cast<float>(total);
    }
}
