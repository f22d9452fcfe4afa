// Vectors for CPU candidates: one width per machine, float32 inside, float32 or bfloat16 in memory.
//
// `Vec` is a GCC vector of LANES floats (16 with AVX-512, else 8), so + - * / and comparisons are the language's own
// and any GCC target compiles. Tensors are aligned only to their element: every load and store here is unaligned.
// bfloat16 is rounded to nearest even, and NaN stays NaN. `bfloat16_t` and `scalar_t` come from the contract's header.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace ks {

#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr __mmask16 ALL = 0xffff;  // the unmasked intrinsics warn of an uninitialised operand in gcc 12
#else
constexpr int LANES = 8;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef std::int32_t IntVec __attribute__((vector_size(LANES * 4)));
typedef std::uint32_t BitVec __attribute__((vector_size(LANES * 4)));
typedef std::uint16_t HalfVec __attribute__((vector_size(LANES * 2)));

constexpr std::int64_t round_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

inline Vec broadcast(float x) { return x - Vec{}; }

inline Vec load(const float* p) {
    Vec x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

inline void store(float* p, Vec x) { std::memcpy(p, &x, sizeof x); }

inline Vec load(const bfloat16_t* p) {
    HalfVec half;
    std::memcpy(&half, p, sizeof half);
    return reinterpret_cast<Vec>(__builtin_convertvector(half, BitVec) << 16);
}

inline void store(bfloat16_t* p, Vec x) {
    const BitVec bits = reinterpret_cast<BitVec>(x);
    const BitVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const BitVec quiet_nan = (bits >> 16) | 0x40u;
    const HalfVec half = __builtin_convertvector(x == x ? rounded : quiet_nan, HalfVec);
    std::memcpy(p, &half, sizeof half);
}

// The first `count` < LANES elements; absent lanes load as zero.
template <class T>
inline Vec load_first(const T* p, std::int64_t count) {
    T lanes[LANES] = {};
    std::memcpy(lanes, p, static_cast<std::size_t>(count) * sizeof(T));
    return load(lanes);
}

template <class T>
inline void store_first(T* p, Vec x, std::int64_t count) {
    T lanes[LANES];
    store(lanes, x);
    std::memcpy(p, lanes, static_cast<std::size_t>(count) * sizeof(T));
}

inline float to_float(float x) { return x; }
inline float to_float(bfloat16_t x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x.bits) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// As the machine's instruction: the second argument where either is NaN.
inline Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_maskz_max_ps(ALL, a, b);
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#else
    return a > b ? a : b;
#endif
}

inline Vec min(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_maskz_min_ps(ALL, a, b);
#elif defined(__AVX__)
    return _mm256_min_ps(a, b);
#else
    return a < b ? a : b;
#endif
}

inline Vec sqrt(Vec x) {
#if defined(__AVX512F__)
    return _mm512_maskz_sqrt_ps(ALL, x);
#elif defined(__AVX__)
    return _mm256_sqrt_ps(x);
#else
    for (int lane = 0; lane < LANES; lane++) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
#endif
}

inline IntVec lane_index() {
    IntVec index;
    for (int lane = 0; lane < LANES; lane++) index[lane] = lane;
    return index;
}

// x in the first `count` lanes, zero in the others.
inline Vec keep_first(Vec x, std::int64_t count) { return lane_index() < static_cast<std::int32_t>(count) ? x : Vec{}; }

template <int STEP, int... LANE>
inline Vec fold(Vec x, std::integer_sequence<int, LANE...>) {
    return x + __builtin_shufflevector(x, x, (LANE ^ STEP)...);
}

// Horizontal, always in the same pairwise order.
inline float sum(Vec x) {
    constexpr auto lanes = std::make_integer_sequence<int, LANES>{};
#if defined(__AVX512F__)
    x = fold<8>(x, lanes);
#endif
    x = fold<4>(x, lanes);
    x = fold<2>(x, lanes);
    return fold<1>(x, lanes)[0];
}

// x * 2^n for the integral values of n that exp produces; overflow gives infinity, underflow rounds to denormal or 0.
inline Vec scale_by_power_of_two(Vec x, Vec n) {
#if defined(__AVX512F__)
    return _mm512_maskz_scalef_ps(ALL, x, n);
#else
    const IntVec exponent = __builtin_convertvector(n, IntVec);
    const IntVec first = exponent >> 1, second = exponent - first;
    return x * reinterpret_cast<Vec>((first + 127) << 23) * reinterpret_cast<Vec>((second + 127) << 23);
#endif
}

// e^x to about 1.5 ulp: x = n ln 2 + r, |r| <= (ln 2)/2, and a degree-6 minimax polynomial in r (its own error is
// 4e-9 relative). 0 at -infinity, infinity above 88.73, NaN stays NaN.
inline Vec exp(Vec x) {
    const float round_bias = 12582912.0f;  // 1.5 * 2^23: adding and subtracting it rounds to an integer
    x = min(broadcast(89.0f), max(broadcast(-105.0f), x));
    const Vec n = (x * 1.44269504f + round_bias) - round_bias;
    Vec r = x - n * 0.693359375f;  // 10 bits of ln 2: exact product
    r = r + n * 2.12194440e-4f;
    Vec q = r * 1.3814320e-3f + 8.3688507e-3f;
    q = q * r + 4.1668400e-2f;
    q = q * r + 1.6666520e-1f;
    q = q * r + 4.9999994e-1f;
    return scale_by_power_of_two(q * (r * r) + r + 1.0f, n);
}

// tanh in its exponential form: absolute error about 2^-23, so relative accuracy is lost below |x| = 1e-2.
inline Vec tanh(Vec x) { return 1.0f - 2.0f / (exp(x + x) + 1.0f); }

template <int STEP, int... LANE>
inline void exchange(Vec& low, Vec& high, std::integer_sequence<int, LANE...>) {
    const Vec a = low, b = high;
    low = __builtin_shufflevector(a, b, ((LANE & STEP) == 0 ? LANE : LANES + LANE - STEP)...);
    high = __builtin_shufflevector(a, b, ((LANE & STEP) == 0 ? LANE + STEP : LANES + LANE)...);
}

template <int STEP>
inline void exchange_rows(Vec (&rows)[LANES]) {
#pragma GCC unroll 16
    for (int row = 0; row < LANES; row++)
        if ((row & STEP) == 0) exchange<STEP>(rows[row], rows[row + STEP], std::make_integer_sequence<int, LANES>{});
}

// In place: rows[i][j] <-> rows[j][i].
inline void transpose(Vec (&rows)[LANES]) {
    exchange_rows<1>(rows);
    exchange_rows<2>(rows);
    exchange_rows<4>(rows);
#if defined(__AVX512F__)
    exchange_rows<8>(rows);
#endif
}

// Uninitialised floats on a cache-line boundary, freed at the end of the scope.
class Scratch {
  public:
    explicit Scratch(std::int64_t count)
        : data_(static_cast<float*>(std::aligned_alloc(64, static_cast<std::size_t>(round_up(count * 4 + 64, 64))))) {
        if (data_ == nullptr) std::abort();
    }
    ~Scratch() { std::free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    operator float*() const { return data_; }

  private:
    float* data_;
};

}  // namespace ks
