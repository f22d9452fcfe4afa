// RMS norm of x - l b: a row at a time, its inverse root mean square saved for the backward.
//
//   rest = x - l b,  r = (mean(rest^2) + 2^-23)^-1/2,  y = r rest
//   dx = r (dy - y mean(dy y)),  db = -l dx,  dl = -sum dx b
//   (the norm: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467; written from the equations)
//
// The rest of a row is kept in float32 in the L1 cache between its two sweeps, forward and backward.
// Layout: (N, C) row-major. Float32 inside, one rounding at each store. dl is summed per block of BLOCK_ROWS rows, and the
// blocks in order, in float64: results do not depend on the number of threads.
//
// tune: BLOCK_ROWS in 32 8 128
// tune: UNROLL in 4 2 1
// saves: rstd float32 N

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

// The inverse root mean square of the row's rest, which goes to the buffer.
float take_out(const scalar_t* x, const scalar_t* x_back, float backout, int64_t C, float* buffer) {
    Sum squares;
    for_vectors(C, [&](int64_t j, int64_t count, int u) {
        const Vec rest = load_lanes(x + j, count) - load_lanes(x_back + j, count) * backout;
        store(buffer + j, rest);
        squares.parts[u] += rest * rest;
    });
    return 1.0f / std::sqrt(squares.total() / static_cast<float>(C) + EPSILON);
}

// Adds the row's share of -dl to the sum.
void row_backward(const scalar_t* x, const scalar_t* x_back, float backout, float r, const scalar_t* dy, int64_t C,
                  scalar_t* dx, scalar_t* dx_back, float* buffer, Sum& dbackout) {
    Sum products;
    for_vectors(C, [&](int64_t j, int64_t count, int u) {
        const Vec y = (load_lanes(x + j, count) - load_lanes(x_back + j, count) * backout) * r;
        store(buffer + j, y);
        products.parts[u] += load_lanes(dy + j, count) * y;
    });
    const float mean = products.total() / static_cast<float>(C);
    for_vectors(C, [&](int64_t j, int64_t count, int u) {
        const Vec t = (load_lanes(dy + j, count) - load(buffer + j) * mean) * r;
        store_lanes(dx + j, t, count);
        store_lanes(dx_back + j, t * -backout, count);
        dbackout.parts[u] += t * load_lanes(x_back + j, count);
    });
}

}  // namespace

extern "C" void backout_norm_forward(const scalar_t* x, const scalar_t* x_back, const float* backout, scalar_t* normed,
                                     float* rstd, int64_t N, int64_t C) {
#pragma omp parallel
    {
        const Scratch buffer(C + LANES);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < N; i++) {
            const float r = take_out(x + i * C, x_back + i * C, *backout, C, buffer);
            for_vectors(C, [&](int64_t j, int64_t count, int) {
                store_lanes(normed + i * C + j, load(buffer + j) * r, count);
            });
            rstd[i] = r;
        }
    }
}

extern "C" void backout_norm_backward(const scalar_t* x, const scalar_t* x_back, const float* backout, const scalar_t*,
                                      const float* rstd, const scalar_t* dnormed, scalar_t* dx, scalar_t* dx_back,
                                      float* dbackout, int64_t N, int64_t C) {
    const int64_t blocks = (N + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const Scratch partial(blocks);
#pragma omp parallel
    {
        const Scratch buffer(C + LANES);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            Sum total;
            for (int64_t i = block * BLOCK_ROWS; i < std::min<int64_t>(N, (block + 1) * BLOCK_ROWS); i++)
                row_backward(x + i * C, x_back + i * C, *backout, rstd[i], dnormed + i * C, C, dx + i * C,
                             dx_back + i * C, buffer, total);
            partial[block] = total.total();
        }
    }
    double total = 0;
    for (int64_t block = 0; block < blocks; block++) total -= partial[block];
    *dbackout = static_cast<float>(total);
}
