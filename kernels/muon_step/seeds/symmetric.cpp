// One Muon step: the polar iteration as it is published, of its three products the two symmetric ones by half.
//
//   m' = m + (1 - mu) (g - m),  u = g + mu (m' - g),  rows of u equilibrated, x = u / (1.01 |u| + 1e-6)
//   five times:  A = x x^T,  P = a I + b A + c A^2,  x <- P x;  x <- x sqrt(min(M, N)) / |x|
//   s' = s + (1 - beta2) (mean x^2 - s),  z = x / sqrt(s'),  u = z |x| / |z|,  p' = p - lr u - lr wd p [u p >= 0]
//   (Polar Express, https://arxiv.org/abs/2505.16932; MuonEq, https://arxiv.org/abs/2603.28254; Muon+,
//   https://arxiv.org/abs/2602.21545; NorMuon, https://arxiv.org/abs/2510.05491; ideas H1 and H3)
//
// A and A^2 are computed on and above the diagonal and mirrored; a I in P spares a pass over x. A thread takes a matrix
// from start to end, so that its chain stays in the cache; matrices left over when there are fewer than threads are
// shared by all. Every scale that follows from norms is one factor for a row or column. Sums of squares are float32
// along a row, float64 across rows. Layout: (K, M, N) row-major; s is (K, max(M, N)). Written from the equations.
//
// tune: SHARED in 0 1
// tune: GEMM_BLOCK_KIB in 256 128 512 768
// tune: GEMM_TASKS in 6 3 12

#include <kernelsearch/gemm.h>

#include <cmath>

namespace {

using namespace ks;

constexpr int ITERATIONS = 5;
constexpr float POLAR_EXPRESS[ITERATIONS][3] = {
    {8.156554524902461f, -22.48329292557795f, 15.878769915207462f},
    {4.042929935166739f, -2.808917465908714f, 0.5000178451051316f},
    {3.8916678022926607f, -2.772484153217685f, 0.5060648178503393f},
    {3.285753657755655f, -2.3681294933425376f, 0.46449024233003106f},
    {2.3465413258596377f, -1.7097828382687081f, 0.42323551169305323f},
};

struct Rates {
    float momentum, one_minus_momentum, one_minus_beta2, lr, lr_decay;
    Rates(double lr, double momentum, double beta2, double weight_decay)
        : momentum(static_cast<float>(momentum)), one_minus_momentum(static_cast<float>(1 - momentum)),
          one_minus_beta2(static_cast<float>(1 - beta2)), lr(static_cast<float>(lr)),
          lr_decay(static_cast<float>(lr * weight_decay)) {}
};

struct Step {
    int64_t M, N;
    Rates rates;
    int64_t side() const { return std::min(M, N); }
    bool is_tall() const { return M > N; }
};

template <class Body>
inline void for_rows(int64_t rows, int64_t columns, const Body& body) {
    const int threads = usable_threads(rows * columns * 16);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++) body(i);
}

template <class Body>
inline void for_vectors(int64_t columns, const Body& body) {
    for (int64_t j = 0; j < columns; j += LANES) body(j, std::min<int64_t>(LANES, columns - j));
}

// m', and u in x; the norm of each row of u.
void add_momentum(const Step& step, const float* grads, float* buffer, float* x, float* norms) {
    for_rows(step.M, step.N, [&](int64_t i) {
        Vec squares = {};
        for_vectors(step.N, [&](int64_t j, int64_t count) {
            const int64_t at = i * step.N + j;
            const Vec g = read(grads + at, count), old = read(buffer + at, count);
            const Vec m = old + (g - old) * step.rates.one_minus_momentum;
            const Vec u = g + (m - g) * step.rates.momentum;
            squares += u * u;
            write(buffer + at, m, count);
            write(x + at, u, count);
        });
        norms[i] = std::sqrt(sum(squares));
    });
}

// Rows to the root mean square of their norms, then all to a norm below 1.
void equilibrate(const Step& step, float* x, float* norms) {
    double total = 0, scaled = 0;
    for (int64_t i = 0; i < step.M; i++) total += static_cast<double>(norms[i]) * norms[i];
    const double target = std::sqrt(total / static_cast<double>(step.M));
    for (int64_t i = 0; i < step.M; i++) {
        // Written this way so that NaN stays.
        const double factor = target / (norms[i] < 1e-6f ? 1e-6 : norms[i]);
        scaled += norms[i] * factor * (norms[i] * factor);
        norms[i] = static_cast<float>(factor);
    }
    const double inverse = 1 / (1.01 * std::sqrt(scaled) + 1e-6);
    for_rows(step.M, step.N, [&](int64_t i) {
        const float factor = static_cast<float>(norms[i] * inverse);
        for_vectors(step.N, [&](int64_t j, int64_t count) {
            float* at = x + i * step.N + j;
            write(at, read(at, count) * factor, count);
        });
    });
}

void orthogonalize(const Step& step, float* x) {
    const int64_t side = step.side();
    const Scratch gram(side * side), polynomial(side * side);
    const Matrix<float> stored = matrix<float>(x, step.M, step.N), wide = step.is_tall() ? stored.transposed() : stored;
    const Matrix<float> A = matrix<float>(gram, side, side), P = matrix<float>(polynomial, side, side);
    const auto put_x = [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(x + i * step.N + j, sums, count); };
    for (const auto& [a, b, c] : POLAR_EXPRESS) {
        multiply(
            wide, wide.transposed(),
            [&](int64_t i, int64_t j, Vec sums, int64_t count) { write(gram + i * side + j, sums, count); },
            Part::UPPER);
        mirror(gram, side, side);
        multiply(
            A, A,
            [&, b = b, c = c](int64_t i, int64_t j, Vec sums, int64_t count) {
                const int64_t at = i * side + j;
                write(polynomial + at, c * sums + b * read(gram + at, count), count);
            },
            Part::UPPER);
        mirror(polynomial, side, side);
        for (int64_t i = 0; i < side; i++) polynomial[i * side + i] += a;
        // What x held is packed before its place is written: blocks of rows where x stands on the left.
        if (step.is_tall())
            multiply(stored, P, put_x);
        else
            multiply(P, stored, put_x);
    }
}

// Sums of squares of x: of each row, or of each column.
void sum_squares(const Step& step, const float* x, float* sums) {
    if (step.M >= step.N) {
        for_rows(step.M, step.N, [&](int64_t i) {
            Vec squares = {};
            for_vectors(step.N, [&](int64_t j, int64_t count) {
                const Vec value = read(x + i * step.N + j, count);
                squares += value * value;
            });
            sums[i] = sum(squares);
        });
        return;
    }
    for_vectors(step.N, [&](int64_t j, int64_t count) {
        Vec squares = {};
        for (int64_t i = 0; i < step.M; i++) {
            const Vec value = read(x + i * step.N + j, count);
            squares += value * value;
        }
        write(sums + j, squares, count);
    });
}

// s', and in `factors` what turns x into the update: its norm restored, variance evened out, norm restored again.
void even_out(const Step& step, float* second, float* factors) {
    const int64_t lines = std::max(step.M, step.N), size = step.side();
    double squares = 0, after = 0;
    for (int64_t i = 0; i < lines; i++) squares += factors[i];
    const double norm = std::sqrt(squares);
    const double restore = std::sqrt(static_cast<double>(size)) / (norm < 1e-6 ? 1e-6 : norm);
    for (int64_t i = 0; i < lines; i++) {
        const double line = factors[i] * restore * restore;
        const float mean = static_cast<float>(line / static_cast<double>(size));
        second[i] += (mean - second[i]) * step.rates.one_minus_beta2;
        const double scale = 1 / std::sqrt(second[i] < 1e-10f ? 1e-10 : second[i]);
        after += line * scale * scale;
        factors[i] = static_cast<float>(scale);
    }
    const double ratio = restore * (norm * restore) / (std::sqrt(after) < 1e-10 ? 1e-10 : std::sqrt(after));
    for (int64_t i = 0; i < lines; i++) factors[i] = static_cast<float>(factors[i] * ratio);
}

void apply(const Step& step, const float* x, const float* factors, float* params) {
    for_rows(step.M, step.N, [&](int64_t i) {
        for_vectors(step.N, [&](int64_t j, int64_t count) {
            float* at = params + i * step.N + j;
            const Vec p = read(at, count);
            const Vec factor = step.M >= step.N ? broadcast(factors[i]) : read(factors + j, count);
            const Vec u = read(x + i * step.N + j, count) * factor;
            const Vec kept = p - step.rates.lr * u;
            write(at, u * p >= 0.0f ? kept - step.rates.lr_decay * p : kept, count);
        });
    });
}

void step_matrix(const Step& step, float* params, const float* grads, float* buffer, float* second) {
    const Scratch x(step.M * step.N), factors(std::max(step.M, step.N));
    add_momentum(step, grads, buffer, x, factors);
    equilibrate(step, x, factors);
    orthogonalize(step, x);
    sum_squares(step, x, factors);
    even_out(step, second, factors);
    apply(step, x, factors, params);
}

}  // namespace

extern "C" void muon_step_forward(float* params, const float* grads, float* momentum_buffer, float* second_moment,
                                  int64_t K, int64_t M, int64_t N, int64_t S, float lr, float momentum, float beta2,
                                  float weight_decay) {
    const Step step{M, N, Rates(lr, momentum, beta2, weight_decay)};
    const auto take = [&](int64_t k) {
        const int64_t at = k * M * N;
        step_matrix(step, params + at, grads + at, momentum_buffer + at, second_moment + k * S);
    };
    const int threads = usable_threads(K * M * N * step.side());
    const int64_t alone = SHARED ? 0 : K - K % threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && alone > 0)
    for (int64_t k = 0; k < alone; k++) take(k);
    for (int64_t k = alone; k < K; k++) take(k);
}
