// Gated value embeddings: a backward of one pass, along the table and the sorted positions together.
//
//   s_nk = 1 / (1 + exp(-w_k . x_n)),  mixed_nk = v_nk + 3 s_nk e_nk,  e_n = table[tokens_n]
//   a_nk = 3 s_nk (1 - s_nk) (dmixed_nk . e_nk),  dx_n = sum_k a_nk w_k,  dw_k = sum_n a_nk x_n
//   dtable_v = sum over n with tokens_n = v of 3 s_n dmixed_n                       (written from the equations)
//
// Every position belongs to the segment of its token, so the walk that sums a table row's gradient also meets each
// dmixed_n, while e is that very row: dmixed is read once, and a frequent token's row stays in the L1 cache. Gates are made
// again, G products each. A task owns some table rows, writes each once (zeros between segments), and keeps a share of dw.
// An order that is not the tokens' stable one is replaced by a counting sort.
//
// Layout: (N, K, D), (N, G), (K, G), (V, K*D) row-major. Float32 inside; sums in the order of positions, dw per task and
// the tasks in order in float64: results do not depend on the number of threads. Gradients of tables larger than STREAM_MIB
// are zeroed around the cache: nobody reads them before the optimizer.
//
// tune: ROWS_PER_TASK in 128 32 512
// tune: STREAM_MIB in 16 64 4096

#include <kernelsearch/simd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

using namespace ks;

constexpr float PEAK = 3.0f;

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

// f(j, count) for each vector of a row; count < LANES only in the last, so that the others need no test.
template <class F>
inline void for_vectors(int64_t n, F f) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) f(j, int64_t{LANES});
    if (j < n) f(j, n - j);
}

inline float sigmoid(const scalar_t* x, const float* weight, int64_t G) {
    Vec total = {};
    for_vectors(G, [&](int64_t j, int64_t count) { total += load_lanes(x + j, count) * load_lanes(weight + j, count); });
    return 1.0f / (1.0f + std::exp(-sum(total)));
}

// Ascending by token and then by position: then it holds each position once, for there are N of them.
bool is_token_order(const int64_t* tokens, const int64_t* order, int64_t N) {
    for (int64_t i = 0; i < N; i++) {
        if (order[i] < 0 || order[i] >= N) return false;
        if (i == 0) continue;
        const int64_t before = tokens[order[i - 1]], now = tokens[order[i]];
        if (before > now || (before == now && order[i - 1] >= order[i])) return false;
    }
    return true;
}

std::vector<int64_t> sort_by_token(const int64_t* tokens, int64_t N, int64_t V) {
    std::vector<int64_t> place(static_cast<std::size_t>(V) + 1), order(static_cast<std::size_t>(N));
    for (int64_t n = 0; n < N; n++) place[static_cast<std::size_t>(tokens[n] + 1)]++;
    for (std::size_t v = 0; v < static_cast<std::size_t>(V); v++) place[v + 1] += place[v];
    for (int64_t n = 0; n < N; n++)
        order[static_cast<std::size_t>(place[static_cast<std::size_t>(tokens[n])]++)] = n;
    return order;
}

// Whole cache lines around the cache where `streams`.
void clear(scalar_t* first, scalar_t* end, bool streams) {
    char *at = reinterpret_cast<char*>(first), *last = reinterpret_cast<char*>(end);
#if defined(__AVX__)
    if (streams && last - at >= 256) {
        const auto head = static_cast<std::ptrdiff_t>((64 - reinterpret_cast<std::uintptr_t>(at) % 64) % 64);
        std::memset(at, 0, static_cast<std::size_t>(head));
        for (at += head; last - at >= 32; at += 32) _mm256_stream_si256(reinterpret_cast<__m256i*>(at), __m256i{});
    }
#endif
    std::memset(at, 0, static_cast<std::size_t>(last - at));
}

struct Problem {
    const scalar_t* x;
    const float* weight;
    const scalar_t *table, *dmixed;
    scalar_t* dx;
    int64_t K, D, G;
};

// One position: adds to the sums of its table row and to dw, writes dx_n. `scratch` holds round_up(G, LANES).
void add_position(const Problem& p, int64_t n, const scalar_t* row, float* sums, float* dweight, float* scratch) {
    const int64_t padded = round_up(p.G, LANES);
    std::fill_n(scratch, padded, 0.0f);
    const scalar_t* x = p.x + n * p.G;
    for (int64_t k = 0; k < p.K; k++) {
        const float s = sigmoid(x, p.weight + k * p.G, p.G), gate = PEAK * s;
        const scalar_t *d = p.dmixed + (n * p.K + k) * p.D, *e = row + k * p.D;
        float* total = sums + k * p.D;
        Vec products = {};
        for_vectors(p.D, [&](int64_t j, int64_t count) {
            const Vec upstream = load_lanes(d + j, count);
            products += upstream * load_lanes(e + j, count);
            store_lanes(total + j, load_lanes(total + j, count) + upstream * gate, count);
        });
        const float a = gate * (1.0f - s) * sum(products);
        for_vectors(p.G, [&](int64_t j, int64_t count) {
            store(scratch + j, load(scratch + j) + load_lanes(p.weight + k * p.G + j, count) * a);
            float* share = dweight + k * padded + j;
            store(share, load(share) + load_lanes(x + j, count) * a);
        });
    }
    for_vectors(p.G, [&](int64_t j, int64_t count) { store_lanes(p.dx + n * p.G + j, load(scratch + j), count); });
}

}  // namespace

extern "C" void value_mix_forward(const scalar_t* v, const scalar_t* gate_input, const float* gate_weight,
                                  const scalar_t* table, const int64_t* tokens, const int64_t*, scalar_t* mixed,
                                  int64_t N, int64_t K, int64_t D, int64_t G, int64_t, int64_t C) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n++)
        for (int64_t k = 0; k < K; k++) {
            const float gate = PEAK * sigmoid(gate_input + n * G, gate_weight + k * G, G);
            const int64_t at = n * C + k * D;
            const scalar_t* e = table + tokens[n] * C + k * D;
            for_vectors(D, [&](int64_t j, int64_t count) {
                store_lanes(mixed + at + j, load_lanes(v + at + j, count) + load_lanes(e + j, count) * gate, count);
            });
        }
}

extern "C" void value_mix_backward(const scalar_t*, const scalar_t* gate_input, const float* gate_weight,
                                   const scalar_t* table, const int64_t* tokens, const int64_t* order, const scalar_t*,
                                   const scalar_t* dmixed, scalar_t* dgate_input, float* dgate_weight, scalar_t* dtable,
                                   int64_t N, int64_t K, int64_t D, int64_t G, int64_t V, int64_t C) {
    std::vector<int64_t> sorted;
    if (!is_token_order(tokens, order, N)) {
        sorted = sort_by_token(tokens, N, V);
        order = sorted.data();
    }
    const Problem problem{gate_input, gate_weight, table, dmixed, dgate_input, K, D, G};
    const int64_t tasks = (V + ROWS_PER_TASK - 1) / ROWS_PER_TASK, padded = round_up(G, LANES), width = K * padded;
    const bool streams = V * C * static_cast<int64_t>(sizeof(scalar_t)) > (int64_t{STREAM_MIB} << 20);
    const Scratch partial(tasks * width);
#pragma omp parallel
    {
        const Scratch sums(C + LANES), scratch(padded);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < tasks; task++) {
            float* dweight = partial + task * width;
            std::fill_n(dweight, width, 0.0f);
            const int64_t first = task * ROWS_PER_TASK, end = std::min<int64_t>(V, first + ROWS_PER_TASK);
            int64_t i = std::partition_point(order, order + N, [&](int64_t n) { return tokens[n] < first; }) - order;
            for (int64_t row = first; row < end; row++) {
                const int64_t next = i < N ? std::min(tokens[order[i]], end) : end;
                clear(dtable + row * C, dtable + next * C, streams);
                if ((row = next) == end) break;
                std::fill_n(static_cast<float*>(sums), C, 0.0f);
                for (; i < N && tokens[order[i]] == row; i++)
                    add_position(problem, order[i], table + row * C, sums, dweight, scratch);
                for_vectors(C, [&](int64_t j, int64_t count) { store_lanes(dtable + row * C + j, load_lanes(sums + j, count), count); });
            }
#if defined(__AVX__)
            if (streams) _mm_sfence();
#endif
        }
    }
    for (int64_t k = 0; k < K; k++)
        for (int64_t g = 0; g < G; g++) {
            double total = 0;
            for (int64_t task = 0; task < tasks; task++) total += partial[task * width + k * padded + g];
            dgate_weight[k * G + g] = static_cast<float>(total);
        }
}
