// CUDA's vector types with their alignments, and dim3.
#pragma once

#define KS_VECTORS(NAME, T, ALIGN2, ALIGN4)                                                              \
    struct NAME##1 { T x; };                                                                             \
    struct alignas(ALIGN2) NAME##2 { T x, y; };                                                          \
    struct NAME##3 { T x, y, z; };                                                                       \
    struct alignas(ALIGN4) NAME##4 { T x, y, z, w; };                                                    \
    inline NAME##1 make_##NAME##1(T x) { return {x}; }                                                   \
    inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                           \
    inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }                                   \
    inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }

KS_VECTORS(char, signed char, 2, 4)
KS_VECTORS(uchar, unsigned char, 2, 4)
KS_VECTORS(short, short, 4, 8)
KS_VECTORS(ushort, unsigned short, 4, 8)
KS_VECTORS(int, int, 8, 16)
KS_VECTORS(uint, unsigned int, 8, 16)
KS_VECTORS(long, long, 16, 16)
KS_VECTORS(ulong, unsigned long, 16, 16)
KS_VECTORS(longlong, long long, 16, 16)
KS_VECTORS(ulonglong, unsigned long long, 16, 16)
KS_VECTORS(float, float, 8, 16)
KS_VECTORS(double, double, 16, 16)
#undef KS_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline float2 __bfloat1622float2(__nv_bfloat162 a) { return {float(a.x), float(a.y)}; }
inline __nv_bfloat162 __float22bfloat162_rn(float2 a) { return {__nv_bfloat16(a.x), __nv_bfloat16(a.y)}; }
inline float2 __half22float2(__half2 a) { return {float(a.x), float(a.y)}; }
inline __half2 __float22half2_rn(float2 a) { return {__half(a.x), __half(a.y)}; }
