// Three products of packed panels, each whole.
//
//   y = x W^T,  dx = dy W,  dW = dy^T x
//
// Written from the equations. Panels are shared by all threads, and no sum is cut (gemm.h). With STREAM, a long operand is
// packed block by block, just before its use.
// Layout: row-major. Float32 sums in registers from start to end; bfloat16 is widened while it is packed.
//
// tune: STREAM in 1 0

#include <kernelsearch/gemm.h>

namespace {

using namespace ks;

// c = a b, `width` columns to a row.
void whole(const Matrix<scalar_t>& a, const Matrix<scalar_t>& b, scalar_t* c, int64_t width) {
    const auto put = [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(c + i * width + j, sums, count); };
    const ColumnPanels columns(b.transposed());
    if (STREAM)
        multiply(a, columns, put);
    else
        multiply(RowPanels(a), columns, put);
}

}  // namespace

extern "C" void linear_forward(const scalar_t* x, const scalar_t* weight, scalar_t* y, int64_t N, int64_t C,
                               int64_t O) {
    whole(matrix(x, N, C), matrix(weight, O, C).transposed(), y, O);
}

extern "C" void linear_backward(const scalar_t* x, const scalar_t* weight, const scalar_t*, const scalar_t* dy,
                                scalar_t* dx, scalar_t* dweight, int64_t N, int64_t C, int64_t O) {
    whole(matrix(dy, N, O), matrix(weight, O, C), dx, C);
    whole(matrix(dy, N, O).transposed(), matrix(x, N, C), dweight, C);
}
