// RMS norm, alone and behind a mix: a row at a time, the inverse root mean square saved for the backward or made again.
//
//   mixed = l x + s x0,  r = (mean(mixed^2) + 2^-23)^-1/2,  normed = r mixed          (rms_norm: l = 1, no x0)
//   t = dmixed + r (dnormed - normed mean(dnormed normed)),  dx = l t,  dx0 = s t,  dl = sum t x,  ds = sum t x0
//   (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)
//
// Layout: (N, C) row-major. Float32 inside, the mix of a row kept in float32 between its two sweeps; one rounding at
// each store. dl and ds are summed per block of BLOCK_ROWS rows, and the blocks in order, in float64: results do not
// depend on the number of threads.
//
// tune: BLOCK_ROWS in 32 8 128
// tune: UNROLL in 4 2 1
// tune: RSTD in saved recomputed
// tune: COMPILER in default O2 narrow no_fma
// saves if RSTD=saved: rstd float32 N
// flags if COMPILER=O2: -O2
// flags if COMPILER=narrow: -mprefer-vector-width=256
// flags if COMPILER=no_fma: -ffp-contract=off

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

// An argument or a statement of the variant that saves; RSTD=recomputed has neither.
#if RSTD_saved
#define SAVED(...) __VA_ARGS__
#else
#define SAVED(...)
#endif

// f(j, count) for each vector of a row, whole ones UNROLL at a time; count < LANES only in the last.
template <class F>
inline void for_vectors(int64_t C, F f) {
    int64_t j = 0;
    for (; j + UNROLL * LANES <= C; j += UNROLL * LANES)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; u++) f(j + u * LANES, LANES, u);
    for (; j + LANES <= C; j += LANES) f(j, LANES, 0);
    if (j < C) f(j, static_cast<int>(C - j), 0);
}

template <class T>
inline Vec load_lanes(const T* p, int count) {
    return count == LANES ? load(p) : load_first(p, count);
}

template <class T>
inline void store_lanes(T* p, Vec x, int count) {
    if (count == LANES)
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

inline float inverse_rms(float sum_of_squares, int64_t C) {
    return 1.0f / std::sqrt(sum_of_squares / static_cast<float>(C) + EPSILON);
}

// Of the values f(j, count) of one row.
template <class F>
float row_inverse_rms(int64_t C, F f) {
    Sum squares;
    for_vectors(C, [&](int64_t j, int count, int u) {
        const Vec value = f(j, count);
        squares.parts[u] += value * value;
    });
    return inverse_rms(squares.total(), C);
}

struct Row {
    const scalar_t *x, *x0;
    float resid, skip;
    Vec mix(int64_t j, int count) const { return load_lanes(x + j, count) * resid + load_lanes(x0 + j, count) * skip; }
};

float mix_row(const Row& row, int64_t C, float* buffer, scalar_t* mixed, scalar_t* normed) {
    Sum squares;
    for_vectors(C, [&](int64_t j, int count, int u) {
        const Vec value = row.mix(j, count);
        store(buffer + j, value);
        store_lanes(mixed + j, value, count);
        squares.parts[u] += value * value;
    });
    const float r = inverse_rms(squares.total(), C);
    for_vectors(C, [&](int64_t j, int count, int) { store_lanes(normed + j, load(buffer + j) * r, count); });
    return r;
}

// Adds the row's shares of dl and ds to the two sums.
void mix_row_backward(const Row& row, float r, const scalar_t* dmixed, const scalar_t* dnormed, int64_t C, scalar_t* dx,
                      scalar_t* dx0, float* buffer, Sum& dresid, Sum& dskip) {
    Sum products;
    for_vectors(C, [&](int64_t j, int count, int u) {
        const Vec normed = row.mix(j, count) * r;
        store(buffer + j, normed);
        products.parts[u] += load_lanes(dnormed + j, count) * normed;
    });
    const float mean = products.total() / static_cast<float>(C);
    for_vectors(C, [&](int64_t j, int count, int u) {
        const Vec through_norm = (load_lanes(dnormed + j, count) - load(buffer + j) * mean) * r;
        const Vec t = load_lanes(dmixed + j, count) + through_norm;
        store_lanes(dx + j, t * row.resid, count);
        store_lanes(dx0 + j, t * row.skip, count);
        dresid.parts[u] += t * load_lanes(row.x + j, count);
        dskip.parts[u] += t * load_lanes(row.x0 + j, count);
    });
}

}  // namespace

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, SAVED(float* rstd, ) int64_t N, int64_t C) {
#pragma omp parallel
    {
        const Scratch buffer(C + LANES);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < N; i++) {
            [[maybe_unused]] const float r =
                mix_row({x + i * C, x0 + i * C, *resid, *skip}, C, buffer, mixed + i * C, normed + i * C);
            SAVED(rstd[i] = r;)
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t*, SAVED(const float* rstd, ) const scalar_t* dmixed,
                                  const scalar_t* dnormed, scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip,
                                  int64_t N, int64_t C) {
    const int64_t blocks = (N + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const Scratch partial(2 * blocks);
#pragma omp parallel
    {
        const Scratch buffer(C + LANES);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            Sum block_resid, block_skip;
            for (int64_t i = block * BLOCK_ROWS; i < std::min<int64_t>(N, (block + 1) * BLOCK_ROWS); i++) {
                const Row row{x + i * C, x0 + i * C, *resid, *skip};
#if RSTD_saved
                const float r = rstd[i];
#else
                const float r = row_inverse_rms(C, [&](int64_t j, int count) { return row.mix(j, count); });
#endif
                mix_row_backward(row, r, dmixed + i * C, dnormed + i * C, C, dx + i * C, dx0 + i * C, buffer,
                                 block_resid, block_skip);
            }
            partial[2 * block] = block_resid.total();
            partial[2 * block + 1] = block_skip.total();
        }
    }
    double totals[2] = {};
    for (int64_t block = 0; block < blocks; block++)
        for (int which = 0; which < 2; which++) totals[which] += partial[2 * block + which];
    *dresid = static_cast<float>(totals[0]);
    *dskip = static_cast<float>(totals[1]);
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, SAVED(float* rstd, ) int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t* row = x + i * C;
        const float r = row_inverse_rms(C, [&](int64_t j, int count) { return load_lanes(row + j, count); });
        for_vectors(C, [&](int64_t j, int count, int) {
            store_lanes(y + i * C + j, load_lanes(row + j, count) * r, count);
        });
        SAVED(rstd[i] = r;)
    }
}

extern "C" void rms_norm_backward(const scalar_t* x, const scalar_t*, SAVED(const float* rstd, ) const scalar_t* dy,
                                  scalar_t* dx, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t *row = x + i * C, *drow = dy + i * C;
#if RSTD_saved
        const float r = rstd[i];
#else
        const float r = row_inverse_rms(C, [&](int64_t j, int count) { return load_lanes(row + j, count); });
#endif
        Sum products;
        for_vectors(C, [&](int64_t j, int count, int u) {
            products.parts[u] += load_lanes(drow + j, count) * (load_lanes(row + j, count) * r);
        });
        const float mean = products.total() / static_cast<float>(C);
        for_vectors(C, [&](int64_t j, int count, int) {
            const Vec y = load_lanes(row + j, count) * r;
            store_lanes(dx + i * C + j, (load_lanes(drow + j, count) - y * mean) * r, count);
        });
    }
}
