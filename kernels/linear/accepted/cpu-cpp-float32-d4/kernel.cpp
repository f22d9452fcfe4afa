// linear_backward of blocks.
// linear_forward of panels.
// tune: from_blocks_COLUMNS in 512 256 1024
// tune: from_blocks_DEPTH in 256 128 512
// tune: from_blocks_ROW_DEPTH in 4096 1024 256
// tune: from_blocks_KEPT in 49152 98304 196608
// tune: from_blocks_HEIGHT in 384 192 768
// tune: from_blocks_TASKS in 1 2 4
// tune: from_panels_STREAM in 1 0

#include <kernelsearch/gemm.h>
#include <type_traits>

#define COLUMNS from_blocks_COLUMNS
#define DEPTH from_blocks_DEPTH
#define ROW_DEPTH from_blocks_ROW_DEPTH
#define KEPT from_blocks_KEPT
#define HEIGHT from_blocks_HEIGHT
#define TASKS from_blocks_TASKS
namespace from_blocks {
// Three products in blocks of the result that a thread computes alone; what it packs next is asked for ahead.
//
//   y = x W^T,  dx = dy W,  dW = dy^T x
//
// Written from the equations. A block has up to COLUMNS columns, and in dW up to HEIGHT rows. Its thread packs some
// terms of the sums at a time (DEPTH in dW, where rows are short; ROW_DEPTH in y and dx): the block's columns of B, then KEPT
// bytes of A after KEPT bytes, so that what is read again stays in the second cache and no thread waits for another.
// Meanwhile each tile asks for a few lines of what is packed next: the hardware does not foresee steps of a row (dW of
// 2048 x 256 x 256 on one core of an EPYC with AVX-512: 92 GF/s without, 101 with).
// No task splits a sum, and a longer sum is cut at the same places for any number of threads.
// Layout: row-major. Float32 sums; bfloat16 is widened while it is packed, and its sums are never cut.
//



namespace {

using namespace ks;

constexpr bool IS_NARROW = !std::is_same_v<scalar_t, float>;
constexpr int64_t MANY = 12;  // blocks for each thread, of which one more or less is no matter
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

// Panels of WIDTH rows, as gemm.h has them; rows that lie side by side are copied without its care for every element.
template <int WIDTH>
class Packed {
  public:
    Packed(int64_t rows, int64_t depth) : panels_(rows, depth) {}

    void pack(const Matrix<scalar_t>& m) {
        rows_ = m.rows, depth_ = m.columns;
        if (m.is_transposed && rows_ >= round_up(WIDTH, LANES))
            copy(m);
        else
            panels_.pack(m);
    }

    int64_t rows() const { return rows_; }
    int64_t depth() const { return depth_; }
    int64_t count() const { return blocks(rows_, WIDTH); }
    float* panel(int64_t p) const { return panels_.panel(0) + p * (depth_ * WIDTH + LANES); }

  private:
    void copy(const Matrix<scalar_t>& m) const {
        for (int64_t p = 0; p < count(); p++) {
            const int64_t first = p * WIDTH;
            float* to = panel(p);
            if (first + round_up(WIDTH, LANES) <= rows_) {
                // What a store spills into the next k is overwritten.
                for (int64_t k = 0; k < depth_; k++)
#pragma GCC unroll 4
                    for (int r = 0; r < WIDTH; r += LANES)
                        store(to + k * WIDTH + r, load(m.data + k * m.stride + first + r));
            } else {
                for (int64_t k = 0; k < depth_; k++)
                    for (int64_t r = 0; r < WIDTH; r++)
                        to[k * WIDTH + r] = first + r < rows_ ? to_float(m.data[k * m.stride + first + r]) : 0.0f;
            }
        }
    }

    Panels<WIDTH> panels_;
    int64_t rows_ = 0, depth_ = 0;
};

template <int HIGH, class Store>
void tile(const Packed<TILE_ROWS>& a, const Packed<TILE_COLUMNS>& b, int64_t p, int64_t q, const Store& store_sums) {
    const int64_t i = p * TILE_ROWS, j = q * TILE_COLUMNS;
    const int64_t rows = std::min<int64_t>(HIGH, a.rows() - i), columns = std::min<int64_t>(TILE_COLUMNS, b.rows() - j);
    if (columns > LANES)
        multiply_tile<HIGH, TILE_VECTORS>(a.depth(), a.panel(p), b.panel(q), i, j, rows, columns, store_sums);
    else
        multiply_tile<HIGH, 1>(a.depth(), a.panel(p), b.panel(q), i, j, rows, columns, store_sums);
}

template <class Store>
void panels_by_panels(const Packed<TILE_ROWS>& a, const Packed<TILE_COLUMNS>& b, const Store& store_sums, Ahead& next_a,
                      Ahead& next_b) {
    for (int64_t p = 0; p < a.count(); p++)
        for (int64_t q = 0; q < b.count(); q++) {
            next_a.turn();
            next_b.turn();
            const int64_t rows = a.rows() - p * TILE_ROWS;
            if (rows > 2 * ROW_STEP)
                tile<TILE_ROWS>(a, b, p, q, store_sums);
            else if (rows > ROW_STEP)
                tile<2 * ROW_STEP>(a, b, p, q, store_sums);
            else
                tile<ROW_STEP>(a, b, p, q, store_sums);
        }
}

void compute(const Product& p, const Block& block) {
    const int64_t longest = p.a.is_transposed ? DEPTH : ROW_DEPTH;
    const int64_t total = p.depth(), deep = IS_NARROW ? total : blocks(total, blocks(total, longest));
    const int64_t held = round_up(std::max<int64_t>(1, KEPT / (4 * deep)), TILE_ROWS);  // rows of A
    const int64_t rows = block.bottom - block.top, group = std::min(held, rows);
    const int64_t columns = block.right - block.left;
    Packed<TILE_COLUMNS> b(columns, deep);
    Packed<TILE_ROWS> a(group, deep);
    for (int64_t k = 0; k < total; k += deep) {
        const int64_t depth = std::min(deep, total - k), later = k + depth, after = std::min(deep, total - later);
        b.pack(cut(p.b, block.left, columns, k, depth));
        Ahead next_b(cut(p.b, block.left, columns, later, after), blocks(rows, TILE_ROWS) * b.count());
        for (int64_t i = block.top; i < block.bottom; i += group) {
            const int64_t there = std::min(group, block.bottom - i), left = block.bottom - i - there;
            a.pack(cut(p.a, i, there, k, depth));
            Ahead next_a(left > 0 ? cut(p.a, i + there, std::min(group, left), k, depth)
                                  : cut(p.a, block.top, group, later, after),
                         a.count() * b.count());
            scalar_t* const corner = p.c + i * p.width() + block.left;
            const auto store_sums = [&](int64_t r, int64_t j, Vec sums, int64_t count) {
                scalar_t* const c = corner + r * p.width() + j;
                if (!IS_NARROW && k > 0) sums += read(c, count);
                write(c, sums, count);
            };
            panels_by_panels(a, b, store_sums, next_a, next_b);
        }
    }
}

// Blocks of at most `rows` rows, TASKS for each thread or more; as many for each where they are few.
void multiply_blocks(const Product& p, int64_t rows) {
    const int64_t M = p.a.rows, J = p.width();
    const int threads = usable_threads(M * J * p.depth());
    const int64_t wide = round_up(blocks(J, blocks(J, COLUMNS)), TILE_COLUMNS), across = blocks(J, wide);
    int64_t wanted = std::max(blocks(M, rows), blocks(TASKS * threads, across));
    while (across * wanted % threads != 0 && across * wanted < MANY * threads) wanted++;
    const int64_t high = round_up(blocks(M, wanted), ROW_STEP), down = blocks(M, high);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < across * down; task++) {
        const int64_t left = task % across * wide, top = task / across * high;
        compute(p, {top, std::min(M, top + high), left, std::min(J, left + wide)});
    }
}

}  // namespace

[[maybe_unused]] static void linear_forward(const scalar_t* x, const scalar_t* weight, scalar_t* y, int64_t N, int64_t C,
                               int64_t O) {
    multiply_blocks({matrix(x, N, C), matrix(weight, O, C), y}, N);
}

extern "C" __attribute__((visibility("default"))) void linear_backward(const scalar_t* x, const scalar_t* weight, const scalar_t*, const scalar_t* dy,
                                scalar_t* dx, scalar_t* dweight, int64_t N, int64_t C, int64_t O) {
    multiply_blocks({matrix(dy, N, O), matrix(weight, O, C).transposed(), dx}, N);
    multiply_blocks({matrix(dy, N, O).transposed(), matrix(x, N, C).transposed(), dweight}, HEIGHT);
}
}  // namespace from_blocks
#undef COLUMNS
#undef DEPTH
#undef ROW_DEPTH
#undef KEPT
#undef HEIGHT
#undef TASKS

#define STREAM from_panels_STREAM
namespace from_panels {
// Three products of packed panels, each whole.
//
//   y = x W^T,  dx = dy W,  dW = dy^T x
//
// Written from the equations. Panels are shared by all threads, and no sum is cut (gemm.h). With STREAM, a long operand is
// packed block by block, just before its use.
// Layout: row-major. Float32 sums in registers from start to end; bfloat16 is widened while it is packed.
//


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

extern "C" __attribute__((visibility("default"))) void linear_forward(const scalar_t* x, const scalar_t* weight, scalar_t* y, int64_t N, int64_t C,
                               int64_t O) {
    whole(matrix(x, N, C), matrix(weight, O, C).transposed(), y, O);
}

[[maybe_unused]] static void linear_backward(const scalar_t* x, const scalar_t* weight, const scalar_t*, const scalar_t* dy,
                                scalar_t* dx, scalar_t* dweight, int64_t N, int64_t C, int64_t O) {
    whole(matrix(dy, N, O), matrix(weight, O, C), dx, C);
    whole(matrix(dy, N, O).transposed(), matrix(x, N, C), dweight, C);
}
}  // namespace from_panels
#undef STREAM
