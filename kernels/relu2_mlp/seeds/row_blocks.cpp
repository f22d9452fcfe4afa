// The feed-forward layer in blocks of rows: both forward products while a block's features are in the cache.
//
//   h = x fc^T,  p = max(h, 0),  a = p^2,  projected = a proj^T
//   dh = 2 p (dout proj),  dx = dh fc,  dfc = dh^T x,  dproj = dout^T a       (So et al. 2021, arxiv.org/abs/2109.08668)
//
// Written from the equations. The features of BLOCK_ROWS rows (F floats each) never leave the second level of cache in the
// forward, and nothing is saved: the backward computes h again, seven products instead of six, and no tensor of N x F
// lives between the passes. Weights are packed once a call and shared; each thread has blocks of its own. What sums over
// all rows (dfc, dproj) stays two whole products, so results do not depend on the number of threads.
// Layout: row-major. Float32 sums in registers from start to end (gemm.h), features in float32 in every dtype.
//
// tune: BLOCK_ROWS in 96 48 192
// tune: GEMM_BLOCK_KIB in 256 128 512 768
// tune: GEMM_TASKS in 6 3 12

#include <kernelsearch/gemm.h>

namespace {

using namespace ks;

inline Vec square(Vec p) { return p * p; }

// f(first, count) for each block of rows.
template <class F>
inline void for_blocks(int64_t N, F f) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i += BLOCK_ROWS) f(i, std::min<int64_t>(BLOCK_ROWS, N - i));
}

}  // namespace

extern "C" void relu2_mlp_forward(const scalar_t* x, const scalar_t* fc, const scalar_t* proj, scalar_t* projected,
                                  int64_t N, int64_t C, int64_t F) {
    const ColumnPanels fc_panels(matrix(fc, F, C)), proj_panels(matrix(proj, C, F));
    for_blocks(N, [&](int64_t first, int64_t count) {
        const Scratch a(count * F);
        multiply(matrix(x + first * C, count, C), fc_panels, [&](int64_t i, int64_t j, Vec h, int64_t lanes) {
            write(a + i * F + j, square(max(Vec{}, h)), lanes);  // in this order a NaN stays one
        });
        multiply(matrix(static_cast<const float*>(a), count, F), proj_panels,
                 [&](int64_t i, int64_t j, Vec sums, int64_t lanes) {
                     write(projected + (first + i) * C + j, sums, lanes);
                 });
    });
}

extern "C" void relu2_mlp_backward(const scalar_t* x, const scalar_t* fc, const scalar_t* proj, const scalar_t*,
                                   const scalar_t* dprojected, scalar_t* dx, scalar_t* dfc, scalar_t* dproj, int64_t N,
                                   int64_t C, int64_t F) {
    const Scratch a(N * F), dh(N * F);
    const ColumnPanels fc_panels(matrix(fc, F, C)), fc_columns(matrix(fc, F, C).transposed());
    const ColumnPanels proj_columns(matrix(proj, C, F).transposed());
    for_blocks(N, [&](int64_t first, int64_t count) {
        float* const block_a = a + first * F;
        float* const block_dh = dh + first * F;
        multiply(matrix(x + first * C, count, C), fc_panels, [&](int64_t i, int64_t j, Vec h, int64_t lanes) {
            write(block_dh + i * F + j, max(Vec{}, h), lanes);
        });
        multiply(matrix(dprojected + first * C, count, C), proj_columns,
                 [&](int64_t i, int64_t j, Vec da, int64_t lanes) {
                     const Vec p = read(block_dh + i * F + j, lanes);
                     write(block_a + i * F + j, square(p), lanes);
                     write(block_dh + i * F + j, 2.0f * p * da, lanes);
                 });
        multiply(matrix(static_cast<const float*>(block_dh), count, F), fc_columns,
                 [&](int64_t i, int64_t j, Vec sums, int64_t lanes) { write(dx + (first + i) * C + j, sums, lanes); });
    });
    const auto features = [&](const float* data) { return matrix(data, N, F); };
    multiply(features(dh).transposed(), matrix(x, N, C),
             [&](int64_t i, int64_t j, Vec sums, int64_t lanes) { write(dfc + i * C + j, sums, lanes); });
    multiply(matrix(dprojected, N, C).transposed(), features(a),
             [&](int64_t i, int64_t j, Vec sums, int64_t lanes) { write(dproj + i * F + j, sums, lanes); });
}
