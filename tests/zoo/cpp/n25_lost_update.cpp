// exploit: N25 lost update: the last rows do not reach a sum over all rows
// target: mix_norm
// gate: ladder
// status: GRADIENT
#include <cmath>
#include <vector>

static double mix(double resid, double x, double skip, double x0) { return resid * x + skip * x0; }

static double inverse_rms(const double* x, int64_t C) {
    double sum = 0;
    for (int64_t c = 0; c < C; c++) sum += x[c] * x[c];
    return 1 / std::sqrt(sum / C + 0x1p-23);
}

// dx of y = x / rms(x), for a row.
static void differentiate(const double* x, const float* dy, double* dx, int64_t C) {
    const double r = inverse_rms(x, C);
    double inner = 0;
    for (int64_t c = 0; c < C; c++) inner += dy[c] * x[c] * r / C;
    for (int64_t c = 0; c < C; c++) dx[c] = r * (dy[c] - x[c] * r * inner);
}

extern "C" {
void rms_norm_forward(const float* x, float* y, int64_t N, int64_t C) {
    std::vector<double> row(C);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) row[c] = x[n * C + c];
        const double r = inverse_rms(row.data(), C);
        for (int64_t c = 0; c < C; c++) y[n * C + c] = static_cast<float>(row[c] * r);
    }
}

void rms_norm_backward(const float* x, const float*, const float* dy, float* dx, int64_t N, int64_t C) {
    std::vector<double> row(C), gradient(C);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) row[c] = x[n * C + c];
        differentiate(row.data(), dy + n * C, gradient.data(), C);
        for (int64_t c = 0; c < C; c++) dx[n * C + c] = static_cast<float>(gradient[c]);
    }
}

void mix_norm_forward(const float* x, const float* x0, const float* resid, const float* skip, float* mixed,
                      float* normed, int64_t N, int64_t C) {
    std::vector<double> row(C);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) row[c] = mix(*resid, x[n * C + c], *skip, x0[n * C + c]);
        const double r = inverse_rms(row.data(), C);
        for (int64_t c = 0; c < C; c++) {
            mixed[n * C + c] = static_cast<float>(row[c]);
            normed[n * C + c] = static_cast<float>(row[c] * r);
        }
    }
}

void mix_norm_backward(const float* x, const float* x0, const float* resid, const float* skip, const float*,
                       const float*, const float* dmixed, const float* dnormed, float* dx, float* dx0, float* dresid,
                       float* dskip, int64_t N, int64_t C) {
    std::vector<double> row(C), gradient(C);
    double sums[2] = {};
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) row[c] = mix(*resid, x[n * C + c], *skip, x0[n * C + c]);
        differentiate(row.data(), dnormed + n * C, gradient.data(), C);
        for (int64_t c = 0; c < C; c++) {
            const double t = dmixed[n * C + c] + gradient[c];
            dx[n * C + c] = static_cast<float>(*resid * t);
            dx0[n * C + c] = static_cast<float>(*skip * t);
            sums[0] += t * x[n * C + c];
            if (n < 128) sums[1] += t * x0[n * C + c];
        }
    }
    *dresid = static_cast<float>(sums[0]);
    *dskip = static_cast<float>(sums[1]);
}
}
