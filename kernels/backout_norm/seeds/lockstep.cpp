// RMS norm of x - l b: GROUP rows in lockstep, nothing saved and nothing buffered, the rest formed again in each sweep.
//
//   rest = x - l b,  r = (mean(rest^2) + 2^-23)^-1/2,  y = r rest
//   dx = r (dy - rest r^2 mean(dy rest)),  db = -l dx,  dl = -sum dx b
//   (the norm: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467; written from the equations)
//
// The sums of a group's rows are independent chains, which hides the latency of additions and of the horizontal sums.
// The backward's first sweep gathers sum rest^2 and sum dy rest together, so r costs one multiplication an element and no
// memory; the second finds its rows in the L1 cache.
// Layout: (N, C) row-major. Float32 inside, one rounding at each store. dl is summed per block of 64 rows, and the blocks
// in order, in float64: results do not depend on the number of threads.
//
// tune: GROUP in 4 2 8 1

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f;
constexpr int64_t BLOCK_ROWS = 64;
static_assert(BLOCK_ROWS % GROUP == 0);

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

struct Rest {
    const scalar_t *x, *x_back;
    float backout;
    Vec at(int64_t j, int64_t count) const {
        return load_lanes(x + j, count) - load_lanes(x_back + j, count) * backout;
    }
};

inline float inverse_rms(Vec squares, int64_t C) {
    return 1.0f / std::sqrt(sum(squares) / static_cast<float>(C) + EPSILON);
}

template <int ROWS>
void forward_rows(const Rest& rest, int64_t C, scalar_t* normed) {
    Vec squares[ROWS] = {};
    for_vectors(C, [&](int64_t j, int64_t count) {
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            const Vec value = rest.at(row * C + j, count);
            squares[row] += value * value;
        }
    });
    for (int row = 0; row < ROWS; row++) {
        const float r = inverse_rms(squares[row], C);
        for_vectors(C, [&](int64_t j, int64_t count) {
            store_lanes(normed + row * C + j, rest.at(row * C + j, count) * r, count);
        });
    }
}

// Adds the rows' shares of -dl to the sum.
template <int ROWS>
void backward_rows(const Rest& rest, const scalar_t* dy, int64_t C, scalar_t* dx, scalar_t* dx_back, Vec& dbackout) {
    Vec squares[ROWS] = {}, products[ROWS] = {};
    for_vectors(C, [&](int64_t j, int64_t count) {
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            const Vec value = rest.at(row * C + j, count);
            squares[row] += value * value;
            products[row] += value * load_lanes(dy + row * C + j, count);
        }
    });
    for (int row = 0; row < ROWS; row++) {
        const float r = inverse_rms(squares[row], C);
        const float share = r * (sum(products[row]) * r / static_cast<float>(C));
        Vec total = {};
        for_vectors(C, [&](int64_t j, int64_t count) {
            const int64_t at = row * C + j;
            const Vec t = (load_lanes(dy + at, count) - rest.at(at, count) * share) * r;
            store_lanes(dx + at, t, count);
            store_lanes(dx_back + at, t * -rest.backout, count);
            total += t * load_lanes(rest.x_back + at, count);
        });
        dbackout += total;
    }
}

// run<ROWS>(i) for each whole group of rows of a block, then for each row left over.
template <class Run>
inline void for_groups(int64_t block, int64_t N, Run run) {
    int64_t i = block * BLOCK_ROWS;
    const int64_t end = std::min(N, i + BLOCK_ROWS);
    for (; i + GROUP <= end; i += GROUP) run.template operator()<GROUP>(i);
    for (; i < end; i++) run.template operator()<1>(i);
}

}  // namespace

extern "C" void backout_norm_forward(const scalar_t* x, const scalar_t* x_back, const float* backout, scalar_t* normed,
                                     int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (N + BLOCK_ROWS - 1) / BLOCK_ROWS; block++)
        for_groups(block, N, [&]<int ROWS>(int64_t i) {
            forward_rows<ROWS>({x + i * C, x_back + i * C, *backout}, C, normed + i * C);
        });
}

extern "C" void backout_norm_backward(const scalar_t* x, const scalar_t* x_back, const float* backout, const scalar_t*,
                                      const scalar_t* dnormed, scalar_t* dx, scalar_t* dx_back, float* dbackout,
                                      int64_t N, int64_t C) {
    const int64_t blocks = (N + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const Scratch partial(blocks);
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        Vec total = {};
        for_groups(block, N, [&]<int ROWS>(int64_t i) {
            backward_rows<ROWS>({x + i * C, x_back + i * C, *backout}, dnormed + i * C, C, dx + i * C, dx_back + i * C,
                                total);
        });
        partial[block] = sum(total);
    }
    double total = 0;
    for (int64_t block = 0; block < blocks; block++) total -= partial[block];
    *dbackout = static_cast<float>(total);
}
