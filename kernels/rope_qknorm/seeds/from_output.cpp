// Rotary positions, RMS norm and the factor 1.2: the backward starts from the output and the saved inverse length.
//
//   u = (c x + s z, c z - s x) for a head (x, z),  r = (mean(u^2) + 2^-23)^-1/2,  out = 1.2 r u
//   n = out / 1.2,  (p, w) = 1.2 r (dout - n mean(dout n)),  d(x, z) = (c p - s w, s p + c w)
//   (Su et al. 2021, https://arxiv.org/abs/2104.09864; Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)
//
// Written from the equations. The norm is taken after the turn, so r and out are all that the backward needs: queries
// and keys are not read again, and nothing is turned twice. Two sweeps over a head, which the first level of cache holds:
// the forward keeps what it turned in a buffer, the backward reads `out` and `dout` again.
// Layout: heads (B, T, N, D), tables (T, F), D = 2 F. Float32 inside, one rounding at each store; in bfloat16 the
// backward's n carries the rounding of the stored output.
//
// tune: UNROLL in 2 1 4
// tune: BATCH_INSIDE in 0 1
// saves: q_rstd float32 B T H
// saves: k_rstd float32 B T K

#include <kernelsearch/simd.h>

#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f, SCALE = 1.2f;
constexpr int MOST = 256;  // channels of the largest head

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

// f(j, count, u) for each vector of half a head, whole ones UNROLL at a time; count < LANES only in the last.
template <class F>
inline void for_vectors(int64_t extent, F f) {
    int64_t j = 0;
    for (; j + UNROLL * LANES <= extent; j += UNROLL * LANES)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; u++) f(j + u * LANES, LANES, u);
    for (; j + LANES <= extent; j += LANES) f(j, LANES, 0);
    if (j < extent) f(j, static_cast<int>(extent - j), 0);
}

struct Sum {
    Vec parts[UNROLL] = {};
    float total() const {
        Vec x = parts[0];
        for (int u = 1; u < UNROLL; u++) x += parts[u];
        return sum(x);
    }
};

// A position's row of the tables.
struct Row {
    const scalar_t *cos, *sin;
};

float forward_head(const scalar_t* x, const Row& row, scalar_t* out, int64_t F) {
    float turned[MOST + 2 * LANES];
    float* const right = turned + round_up(F, LANES);
    Sum squares;
    for_vectors(F, [&](int64_t j, int count, int u) {
        const Vec c = load_lanes(row.cos + j, count), s = load_lanes(row.sin + j, count);
        const Vec a = load_lanes(x + j, count), z = load_lanes(x + F + j, count);
        const Vec first = c * a + s * z, second = c * z - s * a;
        store(turned + j, first);
        store(right + j, second);
        squares.parts[u] += first * first + second * second;
    });
    const float r = 1.0f / std::sqrt(squares.total() / static_cast<float>(2 * F) + EPSILON), scale = SCALE * r;
    for_vectors(F, [&](int64_t j, int count, int) {
        store_lanes(out + j, load(turned + j) * scale, count);
        store_lanes(out + F + j, load(right + j) * scale, count);
    });
    return r;
}

void backward_head(const scalar_t* out, float r, const scalar_t* dout, const Row& row, scalar_t* dx, int64_t F) {
    Sum products;
    for_vectors(F, [&](int64_t j, int count, int u) {
        products.parts[u] += load_lanes(out + j, count) * load_lanes(dout + j, count) +
                             load_lanes(out + F + j, count) * load_lanes(dout + F + j, count);
    });
    const float along = products.total() / (static_cast<float>(2 * F) * SCALE * SCALE), scale = SCALE * r;
    for_vectors(F, [&](int64_t j, int count, int) {
        const Vec c = load_lanes(row.cos + j, count), s = load_lanes(row.sin + j, count);
        const Vec p = (load_lanes(dout + j, count) - load_lanes(out + j, count) * along) * scale;
        const Vec w = (load_lanes(dout + F + j, count) - load_lanes(out + F + j, count) * along) * scale;
        store_lanes(dx + j, c * p - s * w, count);
        store_lanes(dx + F + j, s * p + c * w, count);
    });
}

// f(b T + t, row) for each batch row and position.
template <class F>
inline void for_positions(const scalar_t* cos, const scalar_t* sin, int64_t B, int64_t T, int64_t extent, F f) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < (BATCH_INSIDE ? T : B * T); i++) {
        const int64_t t = BATCH_INSIDE ? i : i % T;
        const Row row{cos + t * extent, sin + t * extent};
        if (BATCH_INSIDE)
            for (int64_t b = 0; b < B; b++) f(b * T + t, row);
        else
            f(i, row);
    }
}

}  // namespace

extern "C" void rope_qknorm_forward(const scalar_t* q, const scalar_t* k, const scalar_t* cos, const scalar_t* sin,
                                    scalar_t* q_out, scalar_t* k_out, float* q_rstd, float* k_rstd, int64_t B,
                                    int64_t T, int64_t H, int64_t K, int64_t D, int64_t F, int64_t) {
    for_positions(cos, sin, B, T, F, [&](int64_t position, const Row& row) {
        for (int64_t n = position * H; n < (position + 1) * H; n++)
            q_rstd[n] = forward_head(q + n * D, row, q_out + n * D, F);
        for (int64_t n = position * K; n < (position + 1) * K; n++)
            k_rstd[n] = forward_head(k + n * D, row, k_out + n * D, F);
    });
}

extern "C" void rope_qknorm_backward(const scalar_t*, const scalar_t*, const scalar_t* cos, const scalar_t* sin,
                                     const scalar_t* q_out, const scalar_t* k_out, const float* q_rstd,
                                     const float* k_rstd, const scalar_t* dq_out, const scalar_t* dk_out, scalar_t* dq,
                                     scalar_t* dk, int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, int64_t F,
                                     int64_t) {
    for_positions(cos, sin, B, T, F, [&](int64_t position, const Row& row) {
        for (int64_t n = position * H; n < (position + 1) * H; n++)
            backward_head(q_out + n * D, q_rstd[n], dq_out + n * D, row, dq + n * D, F);
        for (int64_t n = position * K; n < (position + 1) * K; n++)
            backward_head(k_out + n * D, k_rstd[n], dk_out + n * D, row, dk + n * D, F);
    });
}
