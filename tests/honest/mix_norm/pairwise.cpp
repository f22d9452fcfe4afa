// RMS norm, alone and behind a mix: pairwise sums, the root itself kept and divided by; one thread a row.
// tune: LEAF in 8 1 64
// saves mix_norm: root float32 N
// saves rms_norm: root float32 N
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

// Sum of term(j) for begin <= j < end, halves added to each other.
template <class Term>
float pairwise(int64_t begin, int64_t end, Term term) {
    if (end - begin <= LEAF) {
        float total = 0;
        for (int64_t j = begin; j < end; j++) total += term(j);
        return total;
    }
    const int64_t middle = begin + (end - begin) / 2;
    return pairwise(begin, middle, term) + pairwise(middle, end, term);
}

// value(j) and upstream(j) of a row: root mean square, and mean(upstream value / root).
template <class Value>
float root_of(int64_t C, Value value) {
    return std::sqrt(pairwise(0, C, [&](int64_t j) { return value(j) * value(j); }) / static_cast<float>(C) + EPSILON);
}

template <class Value>
float inner(const scalar_t* upstream, float root, int64_t C, Value value) {
    const float products = pairwise(0, C, [&](int64_t j) { return to_float(upstream[j]) * (value(j) / root); });
    return products / static_cast<float>(C);
}

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, float* root, int64_t N, int64_t C) {
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = 0; i < N; i++) {
        const auto value = [&](int64_t j) {
            return std::fma(*resid, to_float(x[i * C + j]), *skip * to_float(x0[i * C + j]));
        };
        root[i] = root_of(C, value);
        for (int64_t j = 0; j < C; j++) {
            write(mixed + i * C + j, value(j));
            write(normed + i * C + j, value(j) / root[i]);
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t*, const float* root, const scalar_t* dmixed,
                                  const scalar_t* dnormed, scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip,
                                  int64_t N, int64_t C) {
    const Scratch resid_of(N), skip_of(N);
#pragma omp parallel
    {
        const Scratch flow(C);
#pragma omp for schedule(dynamic, 4)
        for (int64_t i = 0; i < N; i++) {
            const auto value = [&](int64_t j) {
                return std::fma(*resid, to_float(x[i * C + j]), *skip * to_float(x0[i * C + j]));
            };
            const float mean = inner(dnormed + i * C, root[i], C, value);
            for (int64_t j = 0; j < C; j++) {
                const float through_norm = (to_float(dnormed[i * C + j]) - value(j) / root[i] * mean) / root[i];
                flow[j] = to_float(dmixed[i * C + j]) + through_norm;
                write(dx + i * C + j, flow[j] * *resid);
                write(dx0 + i * C + j, flow[j] * *skip);
            }
            resid_of[i] = pairwise(0, C, [&](int64_t j) { return flow[j] * to_float(x[i * C + j]); });
            skip_of[i] = pairwise(0, C, [&](int64_t j) { return flow[j] * to_float(x0[i * C + j]); });
        }
    }
    *dresid = pairwise(0, N, [&](int64_t i) { return resid_of[i]; });
    *dskip = pairwise(0, N, [&](int64_t i) { return skip_of[i]; });
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, float* root, int64_t N, int64_t C) {
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = 0; i < N; i++) {
        const auto value = [&](int64_t j) { return to_float(x[i * C + j]); };
        root[i] = root_of(C, value);
        for (int64_t j = 0; j < C; j++) write(y + i * C + j, value(j) / root[i]);
    }
}

extern "C" void rms_norm_backward(const scalar_t* x, const scalar_t*, const float* root, const scalar_t* dy,
                                  scalar_t* dx, int64_t N, int64_t C) {
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = 0; i < N; i++) {
        const auto value = [&](int64_t j) { return to_float(x[i * C + j]); };
        const float mean = inner(dy + i * C, root[i], C, value);
        for (int64_t j = 0; j < C; j++)
            write(dx + i * C + j, (to_float(dy[i * C + j]) - value(j) / root[i] * mean) / root[i]);
    }
}
