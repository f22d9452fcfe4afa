// The squared positive part: the forward leaves the slope 2 max(h, 0), and the backward is one product.
//
//   s = 2 max(h, 0),  out = (s / 2)^2,  dh = s dout          (So et al. 2021, https://arxiv.org/abs/2109.08668)
//
// Written from the equations. A slope is exact in every dtype, so nothing is rounded that the equations do not round.
// With it the backward needs neither h nor the comparison, and whoever made h may have its memory back; the forward
// writes one tensor more.
// Layout: flat. Float32 inside, one rounding.
//
// tune: UNROLL in 4 1 2 8
// tune: CHUNK in 16384 4096 65536
// saves: slope scalar N

#include <kernelsearch/simd.h>

#include <algorithm>

namespace {

using namespace ks;

// f(j, count) for every vector of every chunk; count < LANES only in the last of all.
template <class F>
inline void for_vectors(int64_t N, F f) {
#pragma omp parallel for schedule(static)
    for (int64_t chunk = 0; chunk < (N + CHUNK - 1) / CHUNK; chunk++) {
        int64_t j = chunk * CHUNK;
        const int64_t end = std::min<int64_t>(N, j + CHUNK);
        for (; j + UNROLL * LANES <= end; j += UNROLL * LANES)
#pragma GCC unroll 8
            for (int u = 0; u < UNROLL; u++) f(j + u * LANES, LANES);
        for (; j + LANES <= end; j += LANES) f(j, LANES);
        if (j < end) f(j, static_cast<int>(end - j));
    }
}

inline Vec load_lanes(const scalar_t* p, int count) { return count == LANES ? load(p) : load_first(p, count); }

inline void store_lanes(scalar_t* p, Vec x, int count) {
    if (count == LANES)
        store(p, x);
    else
        store_first(p, x, count);
}

}  // namespace

extern "C" void relu2_forward(const scalar_t* h, scalar_t* activated, scalar_t* slope, int64_t N) {
    for_vectors(N, [&](int64_t j, int count) {
        const Vec positive = max(Vec{}, load_lanes(h + j, count));  // in this order a NaN stays one
        store_lanes(slope + j, positive + positive, count);
        store_lanes(activated + j, positive * positive, count);
    });
}

extern "C" void relu2_backward(const scalar_t*, const scalar_t*, const scalar_t* slope, const scalar_t* dactivated,
                               scalar_t* dh, int64_t N) {
    for_vectors(N, [&](int64_t j, int count) {
        // A zero is added because nothing times a negative gradient would be -0, which would tell of the gradient.
        store_lanes(dh + j, load_lanes(slope + j, count) * load_lanes(dactivated + j, count) + Vec{}, count);
    });
}
