// Rotary positions, RMS norm and the factor 1.2: a head lives in registers from its load to its store.
//
//   u = (c x + s z, c z - s x) for a head (x, z),  r = (mean(u^2) + 2^-23)^-1/2,  out = 1.2 r u
//   g = 1.2 r dout,  (p, w) = g - u r^2 mean(g u),  d(x, z) = (c p - s w, s p + c w)
//   (Su et al. 2021, https://arxiv.org/abs/2104.09864; Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467)
//
// Written from the equations. The table's row of a position is loaded once and stays in registers while the heads of
// queries and keys pass; nothing is saved, because turning a head again costs less than reading anything. Heads are
// independent chains, so the latency of one's horizontal sum and root is hidden by its neighbours (HEADS at a time).
// Layout: heads (B, T, N, D), tables (T, F), D = 2 F. Float32 inside, one rounding at each store.
//
// tune: HEADS in 2 1 4
// tune: BATCH_INSIDE in 0 1

#include <kernelsearch/simd.h>

#include <cmath>

namespace {

using namespace ks;

constexpr float EPSILON = 0x1p-23f, SCALE = 1.2f;
constexpr int MOST = 128 / LANES;  // vectors in half of the largest head

// `count` of LANES elements; absent lanes are zero.
template <class T>
inline Vec load_lanes(const T* p, int64_t count) {
    return count == LANES ? load(p) : load_first(p, count);
}

template <class T>
inline void store_lanes(T* p, Vec x, int64_t count) {
    if (count == LANES)
        store(p, x);
    else
        store_first(p, x, count);
}

// Half a head of F numbers as VECTORS vectors, known to the compiler; or, where VECTORS is 0, as many as F needs.
template <int VECTORS>
struct Half {
    Vec at[VECTORS ? VECTORS : MOST];
};

template <int VECTORS>
struct Extent {
    int64_t F;
    int vectors() const { return VECTORS ? VECTORS : static_cast<int>((F + LANES - 1) / LANES); }
    int64_t lanes(int v) const { return VECTORS ? LANES : (F - v * LANES < LANES ? F - v * LANES : LANES); }
};

template <int VECTORS>
inline void load_half(Half<VECTORS>& half, const scalar_t* p, Extent<VECTORS> extent) {
#pragma GCC unroll 8
    for (int v = 0; v < extent.vectors(); v++) half.at[v] = load_lanes(p + v * LANES, extent.lanes(v));
}

template <int VECTORS>
struct Head {
    Half<VECTORS> left, right;
};

template <int VECTORS>
inline void load_head(Head<VECTORS>& head, const scalar_t* p, Extent<VECTORS> extent) {
    load_half(head.left, p, extent);
    load_half(head.right, p + extent.F, extent);
}

// The turn by a position's row of the tables; returns the sum of squares.
template <int VECTORS>
inline Vec turn(Head<VECTORS>& head, const Half<VECTORS>& cos, const Half<VECTORS>& sin, Extent<VECTORS> extent) {
    Vec squares = {}, more = {};
#pragma GCC unroll 8
    for (int v = 0; v < extent.vectors(); v++) {
        const Vec x = head.left.at[v], z = head.right.at[v];
        head.left.at[v] = x * cos.at[v] + z * sin.at[v];
        head.right.at[v] = z * cos.at[v] - x * sin.at[v];
        squares += head.left.at[v] * head.left.at[v];
        more += head.right.at[v] * head.right.at[v];
    }
    return squares + more;
}

template <int VECTORS>
struct Tables {
    Half<VECTORS> cos, sin;
};

template <int VECTORS, int N>
inline void forward_heads(const scalar_t* x, scalar_t* out, const Tables<VECTORS>& row, Extent<VECTORS> extent) {
    Head<VECTORS> head[N];
    float r[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
        load_head(head[n], x + n * 2 * extent.F, extent);
        const float squares = sum(turn(head[n], row.cos, row.sin, extent));
        r[n] = SCALE / std::sqrt(squares / static_cast<float>(2 * extent.F) + EPSILON);
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; n++)
#pragma GCC unroll 8
        for (int v = 0; v < extent.vectors(); v++) {
            scalar_t* p = out + n * 2 * extent.F + v * LANES;
            store_lanes(p, head[n].left.at[v] * r[n], extent.lanes(v));
            store_lanes(p + extent.F, head[n].right.at[v] * r[n], extent.lanes(v));
        }
}

template <int VECTORS, int N>
inline void backward_heads(const scalar_t* x, const scalar_t* dout, scalar_t* dx, const Tables<VECTORS>& row,
                           Extent<VECTORS> extent) {
    Head<VECTORS> head[N], g[N];
    float direct[N], along[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
        load_head(head[n], x + n * 2 * extent.F, extent);
        load_head(g[n], dout + n * 2 * extent.F, extent);
        const float D = static_cast<float>(2 * extent.F);
        const float squares = sum(turn(head[n], row.cos, row.sin, extent));
        Vec products = {}, more = {};
#pragma GCC unroll 8
        for (int v = 0; v < extent.vectors(); v++) {
            products += head[n].left.at[v] * g[n].left.at[v];
            more += head[n].right.at[v] * g[n].right.at[v];
        }
        const float r = 1.0f / std::sqrt(squares / D + EPSILON);
        direct[n] = SCALE * r;
        along[n] = (sum(products + more) * r / D) * r;  // of g / (1.2 r): in this order nothing under- or overflows
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; n++)
#pragma GCC unroll 8
        for (int v = 0; v < extent.vectors(); v++) {
            const Vec p = (g[n].left.at[v] - head[n].left.at[v] * along[n]) * direct[n];
            const Vec w = (g[n].right.at[v] - head[n].right.at[v] * along[n]) * direct[n];
            scalar_t* to = dx + n * 2 * extent.F + v * LANES;
            store_lanes(to, p * row.cos.at[v] - w * row.sin.at[v], extent.lanes(v));
            store_lanes(to + extent.F, p * row.sin.at[v] + w * row.cos.at[v], extent.lanes(v));
        }
}

// f(b, t, row) for each batch row and position, the table's row loaded once for each position a thread meets.
template <int VECTORS, class F>
inline void for_positions(const scalar_t* cos, const scalar_t* sin, int64_t B, int64_t T, Extent<VECTORS> extent, F f) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < (BATCH_INSIDE ? T : B * T); i++) {
        const int64_t t = BATCH_INSIDE ? i : i % T;
        Tables<VECTORS> row;
        load_half(row.cos, cos + t * extent.F, extent);
        load_half(row.sin, sin + t * extent.F, extent);
        if (BATCH_INSIDE)
            for (int64_t b = 0; b < B; b++) f(b * T + t, row);
        else
            f(i, row);
    }
}

// grouped(n) for whole groups of HEADS heads, single(n) for each left over.
template <class Grouped, class Single>
inline void for_heads(int64_t heads, Grouped grouped, Single single) {
    int64_t n = 0;
    for (; n + HEADS <= heads; n += HEADS) grouped(n);
    for (; n < heads; n++) single(n);
}

template <int VECTORS>
void forward(const scalar_t* q, const scalar_t* k, const scalar_t* cos, const scalar_t* sin, scalar_t* q_out,
             scalar_t* k_out, int64_t B, int64_t T, int64_t H, int64_t K, int64_t F) {
    const Extent<VECTORS> extent{F};
    for_positions(cos, sin, B, T, extent, [&](int64_t position, const Tables<VECTORS>& row) {
        const auto stream = [&](const scalar_t* x, scalar_t* out, int64_t heads) {
            const int64_t begin = position * heads;
            for_heads(
                heads,
                [&](int64_t n) {
                    const int64_t at = (begin + n) * 2 * F;
                    forward_heads<VECTORS, HEADS>(x + at, out + at, row, extent);
                },
                [&](int64_t n) {
                    const int64_t at = (begin + n) * 2 * F;
                    forward_heads<VECTORS, 1>(x + at, out + at, row, extent);
                });
        };
        stream(q, q_out, H);
        stream(k, k_out, K);
    });
}

template <int VECTORS>
void backward(const scalar_t* q, const scalar_t* k, const scalar_t* cos, const scalar_t* sin, const scalar_t* dq_out,
              const scalar_t* dk_out, scalar_t* dq, scalar_t* dk, int64_t B, int64_t T, int64_t H, int64_t K,
              int64_t F) {
    const Extent<VECTORS> extent{F};
    for_positions(cos, sin, B, T, extent, [&](int64_t position, const Tables<VECTORS>& row) {
        const auto stream = [&](const scalar_t* x, const scalar_t* dout, scalar_t* dx, int64_t heads) {
            const int64_t begin = position * heads;
            for_heads(
                heads,
                [&](int64_t n) {
                    const int64_t at = (begin + n) * 2 * F;
                    backward_heads<VECTORS, HEADS>(x + at, dout + at, dx + at, row, extent);
                },
                [&](int64_t n) {
                    const int64_t at = (begin + n) * 2 * F;
                    backward_heads<VECTORS, 1>(x + at, dout + at, dx + at, row, extent);
                });
        };
        stream(q, dq_out, dq, H);
        stream(k, dk_out, dk, K);
    });
}

// run<V>() for heads of 64 and 128 channels, whose vectors are whole and known; run<0>() for any other.
template <class Run>
inline void with_vectors(int64_t F, Run run) {
    if (F == 32)
        run.template operator()<32 / LANES>();
    else if (F == 64)
        run.template operator()<64 / LANES>();
    else
        run.template operator()<0>();
}

}  // namespace

extern "C" void rope_qknorm_forward(const scalar_t* q, const scalar_t* k, const scalar_t* cos, const scalar_t* sin,
                                    scalar_t* q_out, scalar_t* k_out, int64_t B, int64_t T, int64_t H, int64_t K,
                                    int64_t, int64_t F, int64_t) {
    with_vectors(F, [&]<int VECTORS>() { forward<VECTORS>(q, k, cos, sin, q_out, k_out, B, T, H, K, F); });
}

extern "C" void rope_qknorm_backward(const scalar_t* q, const scalar_t* k, const scalar_t* cos, const scalar_t* sin,
                                     const scalar_t*, const scalar_t*, const scalar_t* dq_out, const scalar_t* dk_out,
                                     scalar_t* dq, scalar_t* dk, int64_t B, int64_t T, int64_t H, int64_t K, int64_t,
                                     int64_t F, int64_t) {
    with_vectors(F, [&]<int VECTORS>() { backward<VECTORS>(q, k, cos, sin, dq_out, dk_out, dq, dk, B, T, H, K, F); });
}
