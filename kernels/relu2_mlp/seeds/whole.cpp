// The feed-forward layer as whole products: six of them, the activation in the epilogue of the first.
//
//   h = x fc^T,  p = max(h, 0),  a = p^2,  projected = a proj^T
//   dh = 2 p (dout proj),  dx = dh fc,  dfc = dh^T x,  dproj = dout^T a       (So et al. 2021, arxiv.org/abs/2109.08668)
//
// Written from the equations. p is saved: it gives both a and the slope, so one tensor serves where eager PyTorch keeps
// two. No pass over the features stands alone: p and a are what becomes of the first product's sums, dh of the sums of
// dout proj.
// Layout: row-major. Float32 sums in registers from start to end (gemm.h); in bfloat16 p is rounded where it is saved,
// and the same p is squared in both directions; a and dh stay float32.
//
// tune: A_FROM_SAVED in 1 0
// tune: GEMM_BLOCK_KIB in 256 128 512 768
// tune: GEMM_TASKS in 6 3 12
// tune: GEMM_STREAMED_MIB in 2 1 16
// saves: positive scalar N F

#include <kernelsearch/gemm.h>

namespace {

using namespace ks;

inline Vec square(Vec p) { return p * p; }

// a = p^2 for the rows that were saved.
void square_all(const scalar_t* positive, float* a, int64_t N, int64_t F) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < F; j += LANES) {
            const int64_t count = F - j;
            write(a + i * F + j, square(read(positive + i * F + j, count)), count);
        }
}

}  // namespace

extern "C" void relu2_mlp_forward(const scalar_t* x, const scalar_t* fc, const scalar_t* proj, scalar_t* projected,
                                  scalar_t* positive, int64_t N, int64_t C, int64_t F) {
    const Scratch a(N * F);
    multiply(matrix(x, N, C), matrix(fc, F, C).transposed(), [&](int64_t i, int64_t j, Vec h, int64_t count) {
        const Vec p = max(Vec{}, h);  // in this order a NaN stays one
        write(positive + i * F + j, p, count);
        if (!A_FROM_SAVED) write(a + i * F + j, square(p), count);
    });
    if (A_FROM_SAVED) square_all(positive, a, N, F);
    multiply(matrix(static_cast<const float*>(a), N, F), matrix(proj, C, F).transposed(),
             [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(projected + i * C + j, sums, count); });
}

extern "C" void relu2_mlp_backward(const scalar_t* x, const scalar_t* fc, const scalar_t* proj, const scalar_t*,
                                   const scalar_t* positive, const scalar_t* dprojected, scalar_t* dx, scalar_t* dfc,
                                   scalar_t* dproj, int64_t N, int64_t C, int64_t F) {
    const Scratch a(N * F), dh(N * F);
    multiply(matrix(dprojected, N, C), matrix(proj, C, F), [&](int64_t i, int64_t j, Vec da, int64_t count) {
        const Vec p = read(positive + i * F + j, count);
        write(a + i * F + j, square(p), count);
        write(dh + i * F + j, 2.0f * p * da, count);
    });
    const auto features = [&](const float* data) { return matrix(data, N, F); };
    multiply(features(dh), matrix(fc, F, C),
             [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(dx + i * C + j, sums, count); });
    multiply(features(dh).transposed(), matrix(x, N, C),
             [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(dfc + i * C + j, sums, count); });
    multiply(matrix(dprojected, N, C).transposed(), features(a),
             [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(dproj + i * F + j, sums, count); });
}
