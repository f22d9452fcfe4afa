// RMS norm, alone and behind a mix: a row after the other on one thread, sums in float64, nothing saved.
#include <kernelsearch/simd.h>

#include <cmath>

using namespace ks;

constexpr float EPSILON = 0x1p-23f;

inline void write(scalar_t* p, float x) { store_first(p, broadcast(x), 1); }

inline float mix(const scalar_t* x, const scalar_t* x0, float resid, float skip, int64_t at) {
    return resid * to_float(x[at]) + skip * to_float(x0[at]);
}

inline float inverse_rms(double sum_of_squares, int64_t C) {
    return static_cast<float>(1.0 / std::sqrt(sum_of_squares / static_cast<double>(C) + EPSILON));
}

extern "C" void mix_norm_forward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                 scalar_t* mixed, scalar_t* normed, int64_t N, int64_t C) {
    for (int64_t i = 0; i < N; i++) {
        double squares = 0;
        for (int64_t j = 0; j < C; j++) {
            const double value = mix(x, x0, *resid, *skip, i * C + j);
            squares += value * value;
        }
        const float r = inverse_rms(squares, C);
        for (int64_t j = 0; j < C; j++) {
            const float value = mix(x, x0, *resid, *skip, i * C + j);
            write(mixed + i * C + j, value);
            write(normed + i * C + j, value * r);
        }
    }
}

extern "C" void mix_norm_backward(const scalar_t* x, const scalar_t* x0, const float* resid, const float* skip,
                                  const scalar_t*, const scalar_t*, const scalar_t* dmixed, const scalar_t* dnormed,
                                  scalar_t* dx, scalar_t* dx0, float* dresid, float* dskip, int64_t N, int64_t C) {
    double total_resid = 0, total_skip = 0;
    for (int64_t i = 0; i < N; i++) {
        double squares = 0, products = 0;
        for (int64_t j = 0; j < C; j++) {
            const double value = mix(x, x0, *resid, *skip, i * C + j);
            squares += value * value;
            products += value * to_float(dnormed[i * C + j]);
        }
        const float r = inverse_rms(squares, C), mean = static_cast<float>(products * r / static_cast<double>(C));
        for (int64_t j = 0; j < C; j++) {
            const int64_t at = i * C + j;
            const float y = mix(x, x0, *resid, *skip, at) * r;
            const float t = to_float(dmixed[at]) + (to_float(dnormed[at]) - y * mean) * r;
            write(dx + at, *resid * t);
            write(dx0 + at, *skip * t);
            total_resid += static_cast<double>(t) * to_float(x[at]);
            total_skip += static_cast<double>(t) * to_float(x0[at]);
        }
    }
    *dresid = static_cast<float>(total_resid);
    *dskip = static_cast<float>(total_skip);
}

extern "C" void rms_norm_forward(const scalar_t* x, scalar_t* y, int64_t N, int64_t C) {
    for (int64_t i = 0; i < N; i++) {
        double squares = 0;
        for (int64_t j = 0; j < C; j++) squares += static_cast<double>(to_float(x[i * C + j])) * to_float(x[i * C + j]);
        const float r = inverse_rms(squares, C);
        for (int64_t j = 0; j < C; j++) write(y + i * C + j, to_float(x[i * C + j]) * r);
    }
}

extern "C" void rms_norm_backward(const scalar_t* x, const scalar_t*, const scalar_t* dy, scalar_t* dx, int64_t N,
                                  int64_t C) {
    for (int64_t i = 0; i < N; i++) {
        double squares = 0, products = 0;
        for (int64_t j = 0; j < C; j++) {
            const double value = to_float(x[i * C + j]);
            squares += value * value;
            products += value * to_float(dy[i * C + j]);
        }
        const float r = inverse_rms(squares, C), mean = static_cast<float>(products * r / static_cast<double>(C));
        for (int64_t j = 0; j < C; j++) {
            const int64_t at = i * C + j;
            write(dx + at, (to_float(dy[at]) - to_float(x[at]) * r * mean) * r);
        }
    }
}
