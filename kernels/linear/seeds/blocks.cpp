// Three products in blocks of the result that a thread computes alone; what it packs next is asked for ahead.
//
//   y = x W^T,  dx = dy W,  dW = dy^T x
//
// Written from the equations. A block has up to COLUMNS columns, and in dW up to HEIGHT rows. Its thread packs DEPTH
// terms of the sums at a time: the block's columns of B, then A by GROUP rows, so that all of it stays in the second cache
// and no thread waits for another. Meanwhile each tile asks for a few lines of the next group and of the next columns: the
// hardware does not foresee steps of a row (dW of 2048 x 256 x 256 on one core of an EPYC: 92 GF/s without, 101 with).
// No task splits a sum, and a sum over more than DEPTH terms is cut at the same places for any number of threads.
// Layout: row-major. Float32 sums; bfloat16 is widened while it is packed, and its sums are never cut.
//
// tune: COLUMNS in 256 128 384 512
// tune: DEPTH in 256 384 512 1024
// tune: GROUP in 96 48 192
// tune: HEIGHT in 384 192 768
// tune: TASKS in 1 2 4

#include <kernelsearch/gemm.h>

#include <type_traits>

namespace {

using namespace ks;

constexpr bool IS_NARROW = !std::is_same_v<scalar_t, float>;
constexpr int64_t LINE = 64 / int64_t{sizeof(scalar_t)};

// c = a b^T, rows of c side by side.
struct Product {
    Matrix<scalar_t> a, b;
    scalar_t* c;

    int64_t depth() const { return a.columns; }
    int64_t width() const { return b.rows; }
};

// Rows [top, bottom) and columns [left, right) of c.
struct Block {
    int64_t top, bottom, left, right;
};

inline Matrix<scalar_t> cut(const Matrix<scalar_t>& m, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    Matrix<scalar_t> part = m.slice_rows(row, rows);
    part.data += column * (m.is_transposed ? m.stride : 1);
    part.columns = columns;
    return part;
}

// A piece of memory, asked for line by line in `shares` turns.
class Ahead {
  public:
    Ahead(const Matrix<scalar_t>& m, int64_t shares)
        : m_(m), rows_(m.is_transposed ? m.columns : m.rows), width_(m.is_transposed ? m.rows : m.columns),
          share_(width_ == 0 ? 0 : rows_ * ((width_ + LINE - 1) / LINE) / shares + 1) {}

    void turn() {
        for (int64_t lines = share_; lines > 0 && row_ < rows_; lines--) {
            __builtin_prefetch(m_.data + row_ * m_.stride + column_, 0, 2);
            column_ += LINE;
            if (column_ >= width_) column_ = 0, row_++;
        }
    }

  private:
    Matrix<scalar_t> m_;
    int64_t rows_, width_, share_, row_ = 0, column_ = 0;
};

template <class Store>
void panels_by_panels(const RowPanels& a, const ColumnPanels& b, int64_t i, const Store& store_sums, Ahead& next_a,
                      Ahead& next_b) {
    const Multiplication<Store> product{a, b, store_sums, Part::ALL, i};
    for (int64_t p = 0; p < a.count(); p++)
        for (int64_t q = 0; q < b.count(); q++) {
            next_a.turn();
            next_b.turn();
            product.compute(p, p + 1, q, q + 1);
        }
}

void compute(const Product& p, const Block& block) {
    const int64_t total = p.depth(), deep = IS_NARROW ? total : blocks(total, blocks(total, DEPTH));
    const int64_t rows = block.bottom - block.top, group = std::min<int64_t>(GROUP, rows);
    const int64_t columns = block.right - block.left;
    ColumnPanels b(columns, deep);
    RowPanels a(group, deep);
    for (int64_t k = 0; k < total; k += deep) {
        const int64_t depth = std::min(deep, total - k), later = k + depth, after = std::min(deep, total - later);
        const auto store_sums = [&](int64_t i, int64_t j, Vec sums, int64_t count) {
            scalar_t* c = p.c + i * p.width() + block.left + j;
            if (!IS_NARROW && k > 0) sums += read(c, count);
            write(c, sums, count);
        };
        b.pack(cut(p.b, block.left, columns, k, depth));
        Ahead next_b(cut(p.b, block.left, columns, later, after), blocks(rows, TILE_ROWS) * b.count());
        for (int64_t i = block.top; i < block.bottom; i += group) {
            const int64_t there = std::min(group, block.bottom - i), left = block.bottom - i - there;
            a.pack(cut(p.a, i, there, k, depth));
            Ahead next_a(left > 0 ? cut(p.a, i + there, std::min(group, left), k, depth)
                                  : cut(p.a, block.top, group, later, after),
                         a.count() * b.count());
            panels_by_panels(a, b, i, store_sums, next_a, next_b);
        }
    }
}

// Blocks of at most `rows` rows, TASKS for each thread or more.
void multiply_blocks(const Product& p, int64_t rows) {
    const int64_t M = p.a.rows, J = p.width();
    const int threads = usable_threads(M * J * p.depth());
    const int64_t wide = round_up(blocks(J, blocks(J, COLUMNS)), TILE_COLUMNS), across = blocks(J, wide);
    const int64_t wanted = std::max(blocks(M, rows), blocks(TASKS * threads, across));
    const int64_t high = round_up(blocks(M, wanted), ROW_STEP), down = blocks(M, high);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < across * down; task++) {
        const int64_t left = task % across * wide, top = task / across * high;
        compute(p, {top, std::min(M, top + high), left, std::min(J, left + wide)});
    }
}

}  // namespace

extern "C" void linear_forward(const scalar_t* x, const scalar_t* weight, scalar_t* y, int64_t N, int64_t C, int64_t O) {
    multiply_blocks({matrix(x, N, C), matrix(weight, O, C), y}, N);
}

extern "C" void linear_backward(const scalar_t* x, const scalar_t* weight, const scalar_t*, const scalar_t* dy,
                                scalar_t* dx, scalar_t* dweight, int64_t N, int64_t C, int64_t O) {
    multiply_blocks({matrix(dy, N, O), matrix(weight, O, C).transposed(), dx}, N);
    multiply_blocks({matrix(dy, N, O).transposed(), matrix(x, N, C).transposed(), dweight}, HEIGHT);
}
