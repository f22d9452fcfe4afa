// Mathematics that CUDA has and the C library has not, or has under another name.
#pragma once

#include "cuda_abi.h"

namespace ks {

// A value that the compiler neither contracts nor reorders: what the _rn intrinsics promise.
inline float exactly(float value) {
#if defined(__x86_64__)
    asm("" : "+x"(value));
#else
    asm("" : "+w"(value));
#endif
    return value;
}

template <typename T, typename From>
inline T as(From value) {
    static_assert(sizeof(T) == sizeof(From));
    T made;
    std::memcpy(&made, &value, sizeof made);
    return made;
}

}  // namespace ks

inline float __fadd_rn(float a, float b) { return ks::exactly(a + b); }
inline float __fsub_rn(float a, float b) { return ks::exactly(a - b); }
inline float __fmul_rn(float a, float b) { return ks::exactly(a * b); }
inline float __fdiv_rn(float a, float b) { return ks::exactly(a / b); }
inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline float __frsqrt_rn(float a) { return static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(a))); }
inline float __fdividef(float a, float b) { return a / b; }
inline float fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float a) { return 1.0f / __builtin_sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / __builtin_sqrt(a); }
// Names of the C library's own, so macros rather than functions.
#define __expf(a) (::expf(a))
#define __logf(a) (::logf(a))
#define __log2f(a) (::log2f(a))
#define __log10f(a) (::log10f(a))
#define __sinf(a) (::sinf(a))
#define __cosf(a) (::cosf(a))
#define __tanf(a) (::tanf(a))
#define __powf(a, b) (::powf(a, b))
#define __exp10f(a) (::powf(10.0f, a))
inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }  // NaN becomes 0

// As in CUDA, a NaN gives way to a number.
template <typename A, typename B>
inline auto min(A a, B b) -> std::common_type_t<A, B> {
    using T = std::common_type_t<A, B>;
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    return x < y || y != y ? x : y;
}
template <typename A, typename B>
inline auto max(A a, B b) -> std::common_type_t<A, B> {
    using T = std::common_type_t<A, B>;
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    return x > y || y != y ? x : y;
}
#define fminf(a, b) (::min(static_cast<float>(a), static_cast<float>(b)))
#define fmaxf(a, b) (::max(static_cast<float>(a), static_cast<float>(b)))

inline int __float_as_int(float a) { return ks::as<int>(a); }
inline unsigned __float_as_uint(float a) { return ks::as<unsigned>(a); }
inline float __int_as_float(int a) { return ks::as<float>(a); }
inline float __uint_as_float(unsigned a) { return ks::as<float>(a); }
inline long long __double_as_longlong(double a) { return ks::as<long long>(a); }
inline double __longlong_as_double(long long a) { return ks::as<double>(a); }
inline int __float2int_rn(float a) { return static_cast<int>(__builtin_rintf(a)); }
inline int __float2int_rz(float a) { return static_cast<int>(a); }
inline int __float2int_rd(float a) { return static_cast<int>(__builtin_floorf(a)); }
inline int __float2int_ru(float a) { return static_cast<int>(__builtin_ceilf(a)); }
inline unsigned __float2uint_rn(float a) { return static_cast<unsigned>(__builtin_rintf(a)); }
inline unsigned __float2uint_rz(float a) { return static_cast<unsigned>(a); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline float __ll2float_rn(long long a) { return static_cast<float>(a); }
inline float __ull2float_rn(unsigned long long a) { return static_cast<float>(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }

inline int __popc(unsigned a) { return __builtin_popcount(a); }
inline int __popcll(unsigned long long a) { return __builtin_popcountll(a); }
inline int __clz(int a) { return a == 0 ? 32 : __builtin_clz(static_cast<unsigned>(a)); }
inline int __clzll(long long a) { return a == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(a)); }
inline int __ffs(int a) { return __builtin_ffs(a); }
inline int __ffsll(long long a) { return __builtin_ffsll(a); }
inline unsigned __brev(unsigned a) {
    unsigned found = 0;
    for (int i = 0; i < 32; i++) found |= (a >> i & 1u) << (31 - i);
    return found;
}
inline int __mul24(int a, int b) { return (a << 8 >> 8) * (b << 8 >> 8); }
inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xFFFFFFu) * (b & 0xFFFFFFu); }
inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<long long>(a) * b >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const unsigned long long all = static_cast<unsigned long long>(b) << 32 | a;
    unsigned found = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned choice = selector >> (4 * i);
        unsigned byte = static_cast<unsigned>(all >> (8 * (choice & 7))) & 0xFFu;
        if (choice & 8) byte = byte & 0x80u ? 0xFFu : 0u;
        found |= byte << (8 * i);
    }
    return found;
}
