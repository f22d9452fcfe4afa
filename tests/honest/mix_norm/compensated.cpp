// RMS norm, alone and behind a mix: compensated float32 sums from the last channel to the first, statistics recomputed.
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// Kahan's sum: what an addition loses is taken off the next term.
struct Compensated {
    float total = 0, lost = 0;
    void add(float term) {
        const float corrected = term - lost, next = total + corrected;
        lost = (next - total) - corrected;
        total = next;
    }
};

struct Statistics {
    float r, mean;
};

// r = 1 / root mean square of a row's values, mean = mean(upstream value) r.
template <class Value, class Upstream>
Statistics measure(int64_t C, Value value, Upstream upstream) {
    Compensated squares, products;
    for (int64_t j = C - 1; j >= 0; j--) {
        squares.add(value(j) * value(j));
        products.add(value(j) * upstream(j));
    }
    const float channels = static_cast<float>(C), r = 1.0f / std::sqrt(squares.total / channels + EPSILON);
    return {r, products.total / channels * r};
}

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = N - 1; i >= 0; i--) {
        const scalar_t *row = x + i * C, *row0 = x0 + i * C;
        const auto value = [&](int64_t j) { return *resid * to_float(row[j]) + *skip * to_float(row0[j]); };
        const float r = measure(C, value, [](int64_t) { return 0.0f; }).r;
        for (int64_t j = 0; j < C; j++) {
            write(mixed + i * C + j, value(j));
            write(normed + i * C + j, r * value(j));
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t*, const scalar_t* dmixed, const scalar_t* dnormed,
                                  scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip, int64_t N, int64_t C) {
    const Scratch resid_of(N), skip_of(N);
#pragma omp parallel for schedule(static)
    for (int64_t i = N - 1; i >= 0; i--) {
        const scalar_t *row = x + i * C, *row0 = x0 + i * C, *drow = dnormed + i * C;
        const auto value = [&](int64_t j) { return *resid * to_float(row[j]) + *skip * to_float(row0[j]); };
        const Statistics s = measure(C, value, [&](int64_t j) { return to_float(drow[j]); });
        Compensated by_x, by_x0;
        for (int64_t j = 0; j < C; j++) {
            const float t = to_float(dmixed[i * C + j]) + s.r * (to_float(drow[j]) - value(j) * s.r * s.mean);
            write(dx + i * C + j, *resid * t);
            write(dx0 + i * C + j, *skip * t);
            by_x.add(t * to_float(row[j]));
            by_x0.add(t * to_float(row0[j]));
        }
        resid_of[i] = by_x.total;
        skip_of[i] = by_x0.total;
    }
    Compensated all_x, all_x0;
    for (int64_t i = 0; i < N; i++) {
        all_x.add(resid_of[i]);
        all_x0.add(skip_of[i]);
    }
    *dresid = all_x.total;
    *dskip = all_x0.total;
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, int64_t N, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const auto value = [&](int64_t j) { return to_float(x[i * C + j]); };
        const float r = measure(C, value, [](int64_t) { return 0.0f; }).r;
        for (int64_t j = 0; j < C; j++) write(y + i * C + j, r * value(j));
    }
}

extern "C" void rms_norm_backward(const scalar_t* x, const scalar_t*, const scalar_t* dy, scalar_t* dx, int64_t N,
                                  int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++) {
        const auto value = [&](int64_t j) { return to_float(x[i * C + j]); };
        const auto upstream = [&](int64_t j) { return to_float(dy[i * C + j]); };
        const Statistics s = measure(C, value, upstream);
        for (int64_t j = 0; j < C; j++) write(dx + i * C + j, s.r * (upstream(j) - value(j) * s.r * s.mean));
    }
}
