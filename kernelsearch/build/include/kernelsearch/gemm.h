// Matrix products for CPU candidates: packed panels, one register tile, float32 sums, any size and any strides.
//
//   ks::multiply(a, b, [&](int64_t i, int64_t j, ks::Vec sums, int64_t count) { ... });
//
// gives the sums over k of a(i, k) b(k, j) for `count` neighbours of a row from (i, j) on, each element once; what they
// become (scaled, added, activated, narrowed) is the caller's. Columns of B side by side make a panel of TILE_COLUMNS,
// rows of A one of TILE_ROWS, both with k outermost, so that the innermost loop reads two streams (Goto and van de
// Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008). k is not split: a sum stays in its register from
// start to end, so that an element's order of summation, and with it every bit, is the same whatever the shape of the
// rest, the number of threads, and whether the call comes from inside a parallel region, where it runs on the calling
// thread alone. bfloat16 is widened while it is packed. Written from the equations.
//
// How panels are arranged may be tuned: a source that declares one of the macros below as a tunable sets it.
#pragma once

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cstdint>
#include <omp.h>

#ifndef GEMM_BLOCK_KIB  // of A, beside a panel of B, in the second-level cache; 256 is for one of 512
#define GEMM_BLOCK_KIB 256
#endif
#ifndef GEMM_STREAMED_MIB  // a larger A is packed block by block, each just before its use
#define GEMM_STREAMED_MIB 2
#endif
#ifndef GEMM_TASKS  // blocks a thread, at least, so that none waits long for the last
#define GEMM_TASKS 6
#endif

namespace ks {

// 24 sums of 32 registers with AVX-512, 12 of 16 with AVX2, and enough of them to cover the latency of a multiply-add.
constexpr int TILE_VECTORS = 2;
constexpr int TILE_COLUMNS = TILE_VECTORS * LANES;
constexpr int TILE_ROWS = LANES == 16 ? 12 : 6;
constexpr int ROW_STEP = TILE_ROWS / 3;            // the last tile of a column has a multiple of this many rows
constexpr std::int64_t BLOCK_BYTES = static_cast<std::int64_t>(GEMM_BLOCK_KIB) << 10;
constexpr std::int64_t STREAMED_BYTES = static_cast<std::int64_t>(GEMM_STREAMED_MIB) << 20;
constexpr std::int64_t SMALLEST_SHARE = 1 << 19;   // multiply-adds for which waking a thread pays: some 10 us

// Element (i, j) lies at data[i * stride + j], or at data[j * stride + i] where the matrix is transposed.
template <class T>
struct Matrix {
    const T* data;
    std::int64_t rows, columns, stride;
    bool is_transposed = false;

    Matrix transposed() const { return {data, columns, rows, stride, !is_transposed}; }
    Matrix slice_rows(std::int64_t first, std::int64_t count) const {
        return {data + first * (is_transposed ? 1 : stride), count, columns, stride, is_transposed};
    }
};

template <class T>
Matrix<T> matrix(const T* data, std::int64_t rows, std::int64_t columns) {
    return {data, rows, columns, columns};
}

// `count` elements, LANES of them without a detour.
template <class T>
inline Vec read(const T* p, std::int64_t count) {
    return count >= LANES ? load(p) : load_first(p, count);
}

template <class T>
inline void write(T* p, Vec x, std::int64_t count) {
    if (count >= LANES)
        store(p, x);
    else
        store_first(p, x, count);
}

inline int usable_threads(std::int64_t operations) {
    if (omp_in_parallel()) return 1;
    return static_cast<int>(std::clamp<std::int64_t>(operations / SMALLEST_SHARE, 1, omp_get_max_threads()));
}

// The rows of a matrix, WIDTH at a time: element k of row r of panel p at panel(p)[k * WIDTH + r]; missing rows are 0.
template <int WIDTH>
class Panels {
  public:
    // Room for matrices of up to `rows` x `columns`, packed one after the other.
    Panels(std::int64_t rows, std::int64_t columns)
        : scratch_((rows + WIDTH - 1) / WIDTH * (columns * WIDTH + LANES)) {}

    template <class T>
    explicit Panels(const Matrix<T>& source) : Panels(source.rows, source.columns) {
        pack(source);
    }

    template <class T>
    void pack(const Matrix<T>& source) {
        rows_ = source.rows;
        depth_ = source.columns;
        const int threads = usable_threads(rows_ * depth_ * 16);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (std::int64_t p = 0; p < count(); p++) {
            if (source.is_transposed)
                copy_lines(source, p);
            else
                turn_lines(source, p);
        }
    }

    std::int64_t rows() const { return rows_; }
    std::int64_t depth() const { return depth_; }
    std::int64_t count() const { return (rows_ + WIDTH - 1) / WIDTH; }
    // The last vector of a panel may be stored whole: LANES floats more than it needs.
    float* panel(std::int64_t p) const { return scratch_ + p * (depth_ * WIDTH + LANES); }

  private:
    // Rows of the matrix run through memory side by side.
    template <class T>
    void copy_lines(const Matrix<T>& source, std::int64_t p) const {
        const std::int64_t first = p * WIDTH, there = std::min<std::int64_t>(WIDTH, rows_ - first);
        float* to = panel(p);
        for (std::int64_t k = 0; k < depth_; k++, to += WIDTH) {
            const T* from = source.data + k * source.stride + first;
            for (std::int64_t r = 0; r < WIDTH; r += LANES) {
                // Reads of more than the panel's rows stay inside this line of the matrix.
                const std::int64_t left = std::max<std::int64_t>(0, std::min<std::int64_t>(LANES, rows_ - first - r));
                const Vec x = read(from + (left > 0 ? r : 0), left);
                store(to + r, r + LANES <= there ? x : keep_first(x, std::max<std::int64_t>(0, there - r)));
            }
        }
    }

    // Each row of the matrix is contiguous: squares of LANES x LANES are transposed in registers.
    template <class T>
    void turn_lines(const Matrix<T>& source, std::int64_t p) const {
        const std::int64_t first = p * WIDTH;
        for (std::int64_t k = 0; k < depth_; k += LANES) {
            const std::int64_t wide = std::min<std::int64_t>(LANES, depth_ - k);
            for (std::int64_t group = 0; group < WIDTH; group += LANES) {
                const std::int64_t there = std::min<std::int64_t>({LANES, WIDTH - group, rows_ - first - group});
                const T* from = source.data + (first + group) * source.stride + k;
                Vec square[LANES];
                for (std::int64_t r = 0; r < LANES; r++)
                    square[r] = r < there ? read(from + r * source.stride, wide) : Vec{};
                transpose(square);
                // In this order, what a store spills into the next k is overwritten.
                for (std::int64_t j = 0; j < wide; j++) store(panel(p) + (k + j) * WIDTH + group, square[j]);
            }
        }
    }

    Scratch scratch_;
    std::int64_t rows_ = 0, depth_ = 0;
};

using RowPanels = Panels<TILE_ROWS>;        // A as it is
using ColumnPanels = Panels<TILE_COLUMNS>;  // B, transposed: its columns are what lies side by side

template <int ROWS, int VECTORS, class Store>
inline void multiply_tile(std::int64_t depth, const float* a, const float* b, std::int64_t i, std::int64_t j,
                          std::int64_t rows, std::int64_t columns, const Store& store_sums) {
    Vec sums[ROWS][VECTORS] = {};
    for (std::int64_t k = 0; k < depth; k++, a += TILE_ROWS, b += TILE_COLUMNS) {
        Vec wide[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) wide[v] = load(b + v * LANES);
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) sums[r][v] += a[r] * wide[v];
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; r++)
        if (r < rows)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                if (v * LANES < columns)
                    store_sums(i + r, j + v * LANES, sums[r][v], std::min<std::int64_t>(LANES, columns - v * LANES));
}

enum class Part {
    ALL,
    UPPER  // every element on or above the diagonal; of those below, some
};

// One product on its way: rows of A (packed; the first of them is row `first_row` of the result), columns of B.
template <class Store>
struct Multiplication {
    const RowPanels& a;
    const ColumnPanels& b;
    const Store& store_sums;
    Part part;
    std::int64_t first_row = 0;

    // Panels [top, bottom) of A by panels [left, right) of B: a panel of B stays near while those of A pass by.
    void compute(std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right) const {
        for (std::int64_t q = left; q < right; q++)
            for (std::int64_t p = top; p < bottom; p++)
                if (part == Part::ALL || (q + 1) * TILE_COLUMNS > first_row + p * TILE_ROWS) compute_tile(p, q);
    }

  private:
    // No larger than it must be.
    void compute_tile(std::int64_t p, std::int64_t q) const {
        const std::int64_t rows = std::min<std::int64_t>(TILE_ROWS, a.rows() - p * TILE_ROWS);
        const std::int64_t columns = std::min<std::int64_t>(TILE_COLUMNS, b.rows() - q * TILE_COLUMNS);
        if (rows > 2 * ROW_STEP)
            compute_rows<TILE_ROWS>(p, q, rows, columns);
        else if (rows > ROW_STEP)
            compute_rows<2 * ROW_STEP>(p, q, rows, columns);
        else
            compute_rows<ROW_STEP>(p, q, rows, columns);
    }

    template <int ROWS>
    void compute_rows(std::int64_t p, std::int64_t q, std::int64_t rows, std::int64_t columns) const {
        const std::int64_t i = first_row + p * TILE_ROWS, j = q * TILE_COLUMNS;
        if (columns > LANES)
            multiply_tile<ROWS, TILE_VECTORS>(a.depth(), a.panel(p), b.panel(q), i, j, rows, columns, store_sums);
        else
            multiply_tile<ROWS, 1>(a.depth(), a.panel(p), b.panel(q), i, j, rows, columns, store_sums);
    }
};

constexpr std::int64_t blocks(std::int64_t panels, std::int64_t size) { return (panels + size - 1) / size; }

// Panels of A whose block stays in the cache.
inline std::int64_t block_panels(std::int64_t depth, std::int64_t panels) {
    return std::clamp<std::int64_t>(BLOCK_BYTES / (4 * TILE_ROWS * std::max<std::int64_t>(1, depth)), 1,
                                    std::max<std::int64_t>(1, panels));
}

// A (packed by rows) times B (packed by columns).
template <class Store>
void multiply(const RowPanels& a, const ColumnPanels& b, const Store& store_sums, Part part = Part::ALL) {
    const int threads = usable_threads(a.rows() * b.rows() * a.depth());
    std::int64_t high = block_panels(a.depth(), a.count()), wide = std::max<std::int64_t>(1, b.count());
    // Cut further until every thread has several blocks.
    while (threads > 1 && blocks(a.count(), high) * blocks(b.count(), wide) < GEMM_TASKS * threads && high * wide > 1) {
        std::int64_t& longer = wide == 1 || (high > 1 && high * TILE_ROWS > wide * TILE_COLUMNS) ? high : wide;
        longer = (longer + 1) / 2;
    }
    const std::int64_t across = blocks(b.count(), wide), tasks = blocks(a.count(), high) * across;
    const Multiplication<Store> product{a, b, store_sums, part};
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (std::int64_t task = 0; task < tasks; task++) {
        const std::int64_t top = task / across * high, left = task % across * wide;
        product.compute(top, std::min(a.count(), top + high), left, std::min(b.count(), left + wide));
    }
}

// A as it lies in memory, packed block by block, times B (packed by columns).
template <class A, class Store>
void multiply(const Matrix<A>& a, const ColumnPanels& b, const Store& store_sums, Part part = Part::ALL) {
    const int threads = usable_threads(a.rows * b.rows() * a.columns);
    const std::int64_t panels = blocks(a.rows, TILE_ROWS);
    if (4 * a.rows * a.columns <= STREAMED_BYTES || panels < GEMM_TASKS * threads)
        return multiply(RowPanels(a), b, store_sums, part);
    const std::int64_t share = std::max<std::int64_t>(1, 2 * panels / (GEMM_TASKS * threads));
    const std::int64_t high = std::min(block_panels(a.columns, panels), share) * TILE_ROWS;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        RowPanels block(high, a.columns);
#pragma omp for schedule(static, 1)
        for (std::int64_t i = 0; i < a.rows; i += high) {
            block.pack(a.slice_rows(i, std::min(high, a.rows - i)));
            Multiplication<Store>{block, b, store_sums, part, i}.compute(0, block.count(), 0, b.count());
        }
    }
}

// a (M x K) times b (K x N).
template <class A, class B, class Store>
void multiply(const Matrix<A>& a, const Matrix<B>& b, const Store& store_sums, Part part = Part::ALL) {
    multiply(a, ColumnPanels(b.transposed()), store_sums, part);
}

// c(j, i) = c(i, j) for i < j: completes a symmetric product of which Part::UPPER was computed.
inline void mirror(float* c, std::int64_t size, std::int64_t stride) {
    const int threads = usable_threads(size * size * 16);
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (std::int64_t i = 0; i < size; i += LANES) {
        const std::int64_t high = std::min<std::int64_t>(LANES, size - i);
        for (std::int64_t j = i; j < size; j += LANES) {
            const std::int64_t wide = std::min<std::int64_t>(LANES, size - j);
            Vec square[LANES];
            for (std::int64_t r = 0; r < LANES; r++)
                square[r] = r < high ? read(c + (i + r) * stride + j, wide) : Vec{};
            transpose(square);
            for (std::int64_t r = 0; r < wide; r++) {
                const std::int64_t count = j > i ? high : r;
                if (count > 0) write(c + (j + r) * stride + i, square[r], count);
            }
        }
    }
}

}  // namespace ks
