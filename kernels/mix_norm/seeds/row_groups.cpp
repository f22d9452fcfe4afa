// RMS norm, alone and behind a mix: GROUP rows in lockstep, nothing saved, statistics recomputed in the backward.
//
//   mixed = l x + s x0,  r = (mean(mixed^2) + 2^-23)^-1/2,  normed = r mixed          (rms_norm: l = 1, no x0)
//   t = dmixed + r (dnormed - normed mean(dnormed normed)),  dx = l t,  dx0 = s t,  dl = sum t x,  ds = sum t x0
//   (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)
//
// The sums of a group's rows are independent chains, which hides the latency of additions and of the horizontal sums
// where rows are short (heads of 64 channels). The backward's first sweep gathers sum mixed^2 and sum dnormed mixed
// together, so recomputing r costs one multiplication an element and no memory.
// Layout: (N, C) row-major. Float32 inside, the mix kept in float32 between the sweeps; one rounding at each store. dl
// and ds are summed per block of 64 rows, and the blocks in order, in float64: results do not depend on the number of
// threads.
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

inline float inverse_rms(float sum_of_squares, int64_t C) {
    return 1.0f / std::sqrt(sum_of_squares / static_cast<float>(C) + EPSILON);
}

// f(j, count) for each vector of a row; count < LANES only in the last, so that the others need no test.
template <class F>
inline void for_vectors(int64_t C, F f) {
    int64_t j = 0;
    for (; j + LANES <= C; j += LANES) f(j, LANES);
    if (j < C) f(j, C - j);
}

struct Mix {
    const scalar_t *x, *x0;
    float resid, skip;
    Vec at(int64_t j, int64_t count) const {
        return load_lanes(x + j, count) * resid + load_lanes(x0 + j, count) * skip;
    }
};

struct Plain {
    const scalar_t* x;
    Vec at(int64_t j, int64_t count) const { return load_lanes(x + j, count); }
};

// The rows' values into the buffer (with KEEP also into `mixed`), their inverse root mean squares into r.
template <int ROWS, bool KEEP, class Source>
inline void first_sweep(const Source& source, int64_t C, float* buffer, int64_t stride, scalar_t* mixed,
                        float (&r)[ROWS]) {
    Vec squares[ROWS] = {};
    for_vectors(C, [&](int64_t j, int64_t count) {
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            const Vec value = source.at(row * C + j, count);
            store(buffer + row * stride + j, value);
            if (KEEP) store_lanes(mixed + row * C + j, value, count);
            squares[row] += value * value;
        }
    });
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) r[row] = inverse_rms(sum(squares[row]), C);
}

template <int ROWS, bool KEEP, class Source>
void forward_rows(const Source& source, int64_t C, float* buffer, int64_t stride, scalar_t* mixed, scalar_t* normed) {
    float r[ROWS];
    first_sweep<ROWS, KEEP>(source, C, buffer, stride, mixed, r);
    for (int row = 0; row < ROWS; row++)
        for_vectors(C, [&](int64_t j, int64_t count) {
            store_lanes(normed + row * C + j, load(buffer + row * stride + j) * r[row], count);
        });
}

// Values into the buffer; r and mean(dnormed normed) of each row.
template <int ROWS, class Source>
inline void backward_sweep(const Source& source, const scalar_t* dnormed, int64_t C, float* buffer, int64_t stride,
                           float (&r)[ROWS], float (&mean)[ROWS]) {
    Vec squares[ROWS] = {}, products[ROWS] = {};
    for_vectors(C, [&](int64_t j, int64_t count) {
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            const Vec value = source.at(row * C + j, count);
            store(buffer + row * stride + j, value);
            squares[row] += value * value;
            products[row] += value * load_lanes(dnormed + row * C + j, count);
        }
    });
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) {
        r[row] = inverse_rms(sum(squares[row]), C);
        mean[row] = sum(products[row]) * r[row] / static_cast<float>(C);
    }
}

template <int ROWS>
void mix_backward_rows(const Mix& source, const scalar_t* dmixed, const scalar_t* dnormed, int64_t C, float* buffer,
                       int64_t stride, scalar_t* dx, scalar_t* dx0, Vec& dresid, Vec& dskip) {
    float r[ROWS], mean[ROWS];
    backward_sweep<ROWS>(source, dnormed, C, buffer, stride, r, mean);
    Vec resid_sum = {}, skip_sum = {};
    for (int row = 0; row < ROWS; row++)
        for_vectors(C, [&](int64_t j, int64_t count) {
            const int64_t at = row * C + j;
            const Vec normed = load(buffer + row * stride + j) * r[row];
            const Vec through_norm = (load_lanes(dnormed + at, count) - normed * mean[row]) * r[row];
            const Vec t = load_lanes(dmixed + at, count) + through_norm;
            store_lanes(dx + at, t * source.resid, count);
            store_lanes(dx0 + at, t * source.skip, count);
            resid_sum += t * load_lanes(source.x + at, count);
            skip_sum += t * load_lanes(source.x0 + at, count);
        });
    dresid += resid_sum;
    dskip += skip_sum;
}

template <int ROWS>
void norm_backward_rows(const Plain& source, const scalar_t* dy, int64_t C, float* buffer, int64_t stride,
                        scalar_t* dx) {
    float r[ROWS], mean[ROWS];
    backward_sweep<ROWS>(source, dy, C, buffer, stride, r, mean);
    for (int row = 0; row < ROWS; row++)
        for_vectors(C, [&](int64_t j, int64_t count) {
            const Vec y = load(buffer + row * stride + j) * r[row];
            store_lanes(dx + row * C + j, (load_lanes(dy + row * C + j, count) - y * mean[row]) * r[row], count);
        });
}

// whole(i) for each whole group of rows of a block, single(i) for each row left over.
template <class Whole, class Single>
inline void for_groups(int64_t block, int64_t N, Whole whole, Single single) {
    int64_t i = block * BLOCK_ROWS;
    const int64_t end = std::min(N, i + BLOCK_ROWS);
    for (; i + GROUP <= end; i += GROUP) whole(i);
    for (; i < end; i++) single(i);
}

}  // namespace

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, int64_t N, int64_t C) {
    const int64_t stride = round_up(C, LANES);
#pragma omp parallel
    {
        const Scratch buffer(GROUP * stride);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < (N + BLOCK_ROWS - 1) / BLOCK_ROWS; block++) {
            const auto run = [&]<int ROWS>(int64_t i) {
                const Mix source{x + i * C, x0 + i * C, *resid, *skip};
                forward_rows<ROWS, true>(source, C, buffer, stride, mixed + i * C, normed + i * C);
            };
            for_groups(
                block, N, [&](int64_t i) { run.template operator()<GROUP>(i); },
                [&](int64_t i) { run.template operator()<1>(i); });
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t*, const scalar_t* dmixed, const scalar_t* dnormed,
                                  scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip, int64_t N, int64_t C) {
    const int64_t stride = round_up(C, LANES), blocks = (N + BLOCK_ROWS - 1) / BLOCK_ROWS;
    const Scratch partial(2 * blocks);
#pragma omp parallel
    {
        const Scratch buffer(GROUP * stride);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            Vec block_resid = {}, block_skip = {};
            const auto run = [&]<int ROWS>(int64_t i) {
                const Mix source{x + i * C, x0 + i * C, *resid, *skip};
                mix_backward_rows<ROWS>(source, dmixed + i * C, dnormed + i * C, C, buffer, stride, dx + i * C,
                                        dx0 + i * C, block_resid, block_skip);
            };
            for_groups(
                block, N, [&](int64_t i) { run.template operator()<GROUP>(i); },
                [&](int64_t i) { run.template operator()<1>(i); });
            partial[2 * block] = sum(block_resid);
            partial[2 * block + 1] = sum(block_skip);
        }
    }
    double totals[2] = {};
    for (int64_t block = 0; block < blocks; block++)
        for (int which = 0; which < 2; which++) totals[which] += partial[2 * block + which];
    *dresid = static_cast<float>(totals[0]);
    *dskip = static_cast<float>(totals[1]);
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, int64_t N, int64_t C) {
    const int64_t stride = round_up(C, LANES);
#pragma omp parallel
    {
        const Scratch buffer(GROUP * stride);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < (N + BLOCK_ROWS - 1) / BLOCK_ROWS; block++) {
            const auto run = [&]<int ROWS>(int64_t i) {
                forward_rows<ROWS, false>(Plain{x + i * C}, C, buffer, stride, nullptr, y + i * C);
            };
            for_groups(
                block, N, [&](int64_t i) { run.template operator()<GROUP>(i); },
                [&](int64_t i) { run.template operator()<1>(i); });
        }
    }
}

extern "C" void rms_norm_backward(const scalar_t* x, const scalar_t*, const scalar_t* dy, scalar_t* dx, int64_t N,
                                  int64_t C) {
    const int64_t stride = round_up(C, LANES);
#pragma omp parallel
    {
        const Scratch buffer(GROUP * stride);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < (N + BLOCK_ROWS - 1) / BLOCK_ROWS; block++) {
            const auto run = [&]<int ROWS>(int64_t i) {
                norm_backward_rows<ROWS>(Plain{x + i * C}, dy + i * C, C, buffer, stride, dx + i * C);
            };
            for_groups(
                block, N, [&](int64_t i) { run.template operator()<GROUP>(i); },
                [&](int64_t i) { run.template operator()<1>(i); });
        }
    }
}
