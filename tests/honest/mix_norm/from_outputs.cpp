// RMS norm, alone and behind a mix: PARTS interleaved sums a row; the backward reads the normalised output, not the
// inputs, and the saved inverse root mean square. In bfloat16 the output carries one rounding.
// tune: PARTS in 4 1 16
// saves mix_norm: rstd float32 N
// saves rms_norm: rstd float32 N
#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// Sum of term(j) over a row: PARTS interleaved sums, then those in order.
template <class Term>
inline float sum_of(int64_t C, Term term) {
    float parts[PARTS] = {};
    for (int64_t j = 0; j < C; j++) parts[j % PARTS] += term(j);
    float total = 0;
    for (int64_t part = 0; part < PARTS; part++) total += parts[part];
    return total;
}

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, float* rstd, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t *row = x + i * C, *row0 = x0 + i * C;
        const auto value = [&](int64_t j) { return *resid * to_float(row[j]) + *skip * to_float(row0[j]); };
        const float squares = sum_of(C, [&](int64_t j) { return value(j) * value(j); });
        rstd[i] = 1.0f / std::sqrt(squares / static_cast<float>(C) + EPSILON);
        for (int64_t j = 0; j < C; j++) {
            write(mixed + i * C + j, value(j));
            write(normed + i * C + j, value(j) * rstd[i]);
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t* normed, const float* rstd, const scalar_t* dmixed,
                                  const scalar_t* dnormed, scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip,
                                  int64_t N, int64_t C) {
    const Scratch resid_of(N), skip_of(N);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t *y = normed + i * C, *dy = dnormed + i * C;
        const float products = sum_of(C, [&](int64_t j) { return to_float(dy[j]) * to_float(y[j]); });
        const float mean = products / static_cast<float>(C);
        const auto t = [&](int64_t j) {
            return to_float(dmixed[i * C + j]) + (to_float(dy[j]) - to_float(y[j]) * mean) * rstd[i];
        };
        for (int64_t j = 0; j < C; j++) {
            write(dx + i * C + j, t(j) * *resid);
            write(dx0 + i * C + j, t(j) * *skip);
        }
        resid_of[i] = sum_of(C, [&](int64_t j) { return t(j) * to_float(x[i * C + j]); });
        skip_of[i] = sum_of(C, [&](int64_t j) { return t(j) * to_float(x0[i * C + j]); });
    }
    *dresid = sum_of(N, [&](int64_t i) { return resid_of[i]; });
    *dskip = sum_of(N, [&](int64_t i) { return skip_of[i]; });
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, float* rstd, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t* row = x + i * C;
        const float squares = sum_of(C, [&](int64_t j) { return to_float(row[j]) * to_float(row[j]); });
        rstd[i] = 1.0f / std::sqrt(squares / static_cast<float>(C) + EPSILON);
        for (int64_t j = 0; j < C; j++) write(y + i * C + j, to_float(row[j]) * rstd[i]);
    }
}

extern "C" void rms_norm_backward(const scalar_t*, const scalar_t* y, const float* rstd, const scalar_t* dy,
                                  scalar_t* dx, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const scalar_t *row = y + i * C, *drow = dy + i * C;
        const float mean =
            sum_of(C, [&](int64_t j) { return to_float(drow[j]) * to_float(row[j]); }) / static_cast<float>(C);
        for (int64_t j = 0; j < C; j++)
            write(dx + i * C + j, (to_float(drow[j]) - to_float(row[j]) * mean) * rstd[i]);
    }
}
