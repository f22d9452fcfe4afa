// The squared positive part: one sweep each way, nothing saved.
//
//   out = max(h, 0)^2,  dh = 2 max(h, 0) dout          (So et al. 2021, https://arxiv.org/abs/2109.08668)
//
// Written from the equations. There is nothing to compute, only memory to move: an ordinary store first reads the line
// that it overwrites. Stores past the caches spare that read; but the next product reads the result at once, which no
// clock of this kernel alone sees, so only results larger than STREAM_MIB, which no cache would keep, go past them.
// AHEAD is the distance, in vectors, at which lines are asked for before they are needed.
// Layout: flat. Float32 inside, one rounding; a chunk's first elements are stored alone until its stores are aligned.
//
// tune: STREAM_MIB in 16 64 4096
// tune: AHEAD in 0 16 64
// tune: UNROLL in 4 1 2
// tune: CHUNK in 16384 65536 1048576

#include <kernelsearch/simd.h>

#include <algorithm>
#include <type_traits>

namespace {

using namespace ks;

// One vector to an address that is a multiple of its size, past the caches if it STREAMS and the machine can.
template <bool STREAMS>
inline void put(scalar_t* p, Vec x) {
    if (!STREAMS) return store(p, x);
#if defined(__AVX__)
    scalar_t lanes[LANES];
    store(lanes, x);
    if constexpr (sizeof lanes == 64) {
#if defined(__AVX512F__)
        __m512i all;
        std::memcpy(&all, lanes, 64);
        _mm512_stream_si512(reinterpret_cast<__m512i*>(p), all);
#endif
    } else if constexpr (sizeof lanes == 32) {
        __m256i all;
        std::memcpy(&all, lanes, 32);
        _mm256_stream_si256(reinterpret_cast<__m256i*>(p), all);
    } else {
        __m128i all;
        std::memcpy(&all, lanes, 16);
        _mm_stream_si128(reinterpret_cast<__m128i*>(p), all);
    }
#else
    store(p, x);
#endif
}

// f(j, count) as vectors in [begin, end): the first up to an aligned address of `out`, the last as it comes.
template <class Whole, class Part>
inline void sweep(const scalar_t* out, int64_t begin, int64_t end, Whole whole, Part part) {
    const int64_t past = static_cast<int64_t>(reinterpret_cast<std::uintptr_t>(out + begin) / sizeof(scalar_t) % LANES);
    const int64_t head = std::min(end - begin, (LANES - past) % LANES);
    int64_t j = begin;
    if (head > 0) part(j, head);
    for (j += head; j + UNROLL * LANES <= end; j += UNROLL * LANES)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; u++) whole(j + u * LANES);
    for (; j + LANES <= end; j += LANES) whole(j);
    if (j < end) part(j, end - j);
}

inline void ask(const scalar_t* p, int64_t j) {
    if (AHEAD > 0) __builtin_prefetch(p + j + AHEAD * LANES);
}

// f(begin, end, streams) for chunks of N results; `streams` is a constant that says whether to write past the caches.
template <class F>
inline void for_chunks(int64_t N, F f) {
    const auto run = [&](auto streams) {
#pragma omp parallel
        {
#pragma omp for schedule(static) nowait
            for (int64_t chunk = 0; chunk < (N + CHUNK - 1) / CHUNK; chunk++)
                f(chunk * CHUNK, std::min<int64_t>(N, (chunk + 1) * CHUNK), streams);
#if defined(__AVX__)
            if (streams) _mm_sfence();
#endif
        }
    };
    if (N * static_cast<int64_t>(sizeof(scalar_t)) > (int64_t{STREAM_MIB} << 20))
        run(std::true_type{});
    else
        run(std::false_type{});
}

// In this order of arguments a NaN stays one.
inline Vec positive(Vec h) { return max(Vec{}, h); }

}  // namespace

extern "C" void relu2_forward(const scalar_t* h, scalar_t* activated, int64_t N) {
    const auto square = [](Vec x) { return positive(x) * positive(x); };
    for_chunks(N, [&](int64_t begin, int64_t end, auto streams) {
        sweep(
            activated, begin, end,
            [&](int64_t j) {
                ask(h, j);
                put<streams>(activated + j, square(load(h + j)));
            },
            [&](int64_t j, int64_t count) { store_first(activated + j, square(load_first(h + j, count)), count); });
    });
}

extern "C" void relu2_backward(const scalar_t* h, const scalar_t*, const scalar_t* dactivated, scalar_t* dh,
                               int64_t N) {
    // A zero is added because nothing times a negative gradient would be -0, and the sign would tell of the gradient.
    const auto slope = [](Vec x, Vec gradient) { return 2.0f * positive(x) * gradient + Vec{}; };
    for_chunks(N, [&](int64_t begin, int64_t end, auto streams) {
        sweep(
            dh, begin, end,
            [&](int64_t j) {
                ask(h, j);
                ask(dactivated, j);
                put<streams>(dh + j, slope(load(h + j), load(dactivated + j)));
            },
            [&](int64_t j, int64_t count) {
                store_first(dh + j, slope(load_first(h + j, count), load_first(dactivated + j, count)), count);
            });
    });
}
