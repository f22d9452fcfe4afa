// __nv_bfloat16 and __half: stored in 16 bits, computed in float, rounded to nearest even as CUDA's own operators do.
#pragma once

namespace ks {

inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

struct Bfloat16Format {
    static uint16_t narrow(float value) {
        const uint32_t bits = bits_of(value);
        if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFF;
        return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
    }
    static float widen(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }
};

struct HalfFormat {
    static uint16_t narrow(float value) {
        const uint32_t bits = bits_of(value), magnitude = bits & 0x7FFFFFFFu;
        const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
        if (magnitude > 0x7F800000u) return 0x7FFF;
        if (magnitude >= 0x477FF000u) return sign | 0x7C00;  // rounds to 65536 or more
        if (magnitude < 0x38800000u) {                       // subnormal: a multiple of 2^-24
            const float scaled = float_of(magnitude) * 16777216.0f;
            return static_cast<uint16_t>(sign | static_cast<uint16_t>(__builtin_rintf(scaled)));
        }
        const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
        return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
    }
    static float widen(uint16_t bits) {
        const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u;
        const uint32_t fraction = bits & 0x3FFu;
        if (exponent == 31) return float_of(sign | 0x7F800000u | fraction << 13);
        if (exponent != 0) return float_of(sign | ((exponent + 112) << 23) | fraction << 13);
        const float magnitude = static_cast<float>(fraction) / 16777216.0f;
        return sign ? -magnitude : magnitude;
    }
};

}  // namespace ks

#define KS_NARROW(NAME, FORMAT)                                                                          \
    struct NAME {                                                                                        \
        uint16_t bits;                                                                                   \
        NAME() = default;                                                                                \
        NAME(float value) : bits(ks::FORMAT::narrow(value)) {}                                           \
        NAME(double value) : NAME(static_cast<float>(value)) {}                                          \
        NAME(int value) : NAME(static_cast<float>(value)) {}                                             \
        operator float() const { return ks::FORMAT::widen(bits); }                                       \
        NAME& operator+=(NAME other) { return *this = NAME(float(*this) + float(other)); }               \
        NAME& operator-=(NAME other) { return *this = NAME(float(*this) - float(other)); }               \
        NAME& operator*=(NAME other) { return *this = NAME(float(*this) * float(other)); }               \
        NAME& operator/=(NAME other) { return *this = NAME(float(*this) / float(other)); }               \
    };                                                                                                   \
    struct alignas(4) NAME##2 {                                                                          \
        NAME x, y;                                                                                       \
    };                                                                                                   \
    inline NAME operator+(NAME a, NAME b) { return NAME(float(a) + float(b)); }                          \
    inline NAME operator-(NAME a, NAME b) { return NAME(float(a) - float(b)); }                          \
    inline NAME operator*(NAME a, NAME b) { return NAME(float(a) * float(b)); }                          \
    inline NAME operator/(NAME a, NAME b) { return NAME(float(a) / float(b)); }                          \
    inline NAME operator-(NAME a) { return NAME(-float(a)); }                                            \
    inline bool operator==(NAME a, NAME b) { return float(a) == float(b); }                              \
    inline bool operator!=(NAME a, NAME b) { return float(a) != float(b); }                              \
    inline bool operator<(NAME a, NAME b) { return float(a) < float(b); }                                \
    inline bool operator>(NAME a, NAME b) { return float(a) > float(b); }                                \
    inline bool operator<=(NAME a, NAME b) { return float(a) <= float(b); }                              \
    inline bool operator>=(NAME a, NAME b) { return float(a) >= float(b); }                              \
    inline NAME __hadd(NAME a, NAME b) { return a + b; }                                                 \
    inline NAME __hsub(NAME a, NAME b) { return a - b; }                                                 \
    inline NAME __hmul(NAME a, NAME b) { return a * b; }                                                 \
    inline NAME __hdiv(NAME a, NAME b) { return a / b; }                                                 \
    inline NAME __hneg(NAME a) { return -a; }                                                            \
    inline NAME __habs(NAME a) { return NAME(__builtin_fabsf(float(a))); }                               \
    inline NAME __hmax(NAME a, NAME b) { return NAME(__builtin_fmaxf(float(a), float(b))); }             \
    inline NAME __hmin(NAME a, NAME b) { return NAME(__builtin_fminf(float(a), float(b))); }             \
    inline NAME __hfma(NAME a, NAME b, NAME c) { return NAME(__builtin_fmaf(float(a), float(b), float(c))); } \
    inline NAME##2 __hadd2(NAME##2 a, NAME##2 b) { return {a.x + b.x, a.y + b.y}; }                      \
    inline NAME##2 __hsub2(NAME##2 a, NAME##2 b) { return {a.x - b.x, a.y - b.y}; }                      \
    inline NAME##2 __hmul2(NAME##2 a, NAME##2 b) { return {a.x * b.x, a.y * b.y}; }                      \
    inline NAME##2 __hfma2(NAME##2 a, NAME##2 b, NAME##2 c) {                                            \
        return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};                                           \
    }                                                                                                    \
    inline float __low2float(NAME##2 a) { return float(a.x); }                                           \
    inline float __high2float(NAME##2 a) { return float(a.y); }

KS_NARROW(__nv_bfloat16, Bfloat16Format)
KS_NARROW(__half, HalfFormat)
#undef KS_NARROW
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;
using half = __half;
using half2 = __half2;

inline __nv_bfloat16 __float2bfloat16(float a) { return __nv_bfloat16(a); }
inline __nv_bfloat16 __float2bfloat16_rn(float a) { return __nv_bfloat16(a); }
inline __nv_bfloat16 __double2bfloat16(double a) { return __nv_bfloat16(a); }
inline float __bfloat162float(__nv_bfloat16 a) { return float(a); }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__nv_bfloat16(a), __nv_bfloat16(b)}; }
inline __nv_bfloat162 __float2bfloat162_rn(float a) { return {__nv_bfloat16(a), __nv_bfloat16(a)}; }
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 a) { return {a, a}; }
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 a) { return a.x; }
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 a) { return a.y; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 a) { return a.bits; }
inline short __bfloat16_as_short(__nv_bfloat16 a) { return static_cast<short>(a.bits); }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short a) {
    __nv_bfloat16 made;
    made.bits = a;
    return made;
}
inline __half __float2half(float a) { return __half(a); }
inline __half __float2half_rn(float a) { return __half(a); }
inline float __half2float(__half a) { return float(a); }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline __half2 __float2half2_rn(float a) { return {__half(a), __half(a)}; }
inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
inline __half __low2half(__half2 a) { return a.x; }
inline __half __high2half(__half2 a) { return a.y; }
inline unsigned short __half_as_ushort(__half a) { return a.bits; }
inline __half __ushort_as_half(unsigned short a) {
    __half made;
    made.bits = a;
    return made;
}
