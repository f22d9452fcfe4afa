// saves blend: factor float32 N
// tune: UNROLL in 1 4

extern "C" {
void blend_forward(const scalar_t* x, const scalar_t* y, const int64_t* index, scalar_t* product, scalar_t* total,
                   float* factor, int64_t N, int64_t D, float scale) {
#pragma omp parallel for
    for (int64_t n = 0; n < N; n++) {
        factor[n] = scale + static_cast<float>(index[n]);
        for (int64_t d = n * D; d < (n + 1) * D; d++) {
            product[d] = factor[n] * x[d] * y[d];
            total[d] = x[d] + y[d];
        }
    }
}

void blend_backward(const scalar_t* x, const scalar_t* y, const int64_t*, const scalar_t*, const scalar_t*,
                    const float* factor, const scalar_t* dproduct, const scalar_t* dtotal, scalar_t* dx, scalar_t* dy,
                    int64_t N, int64_t D, float) {
    for (int64_t n = 0; n < N; n++) {
        for (int64_t d = n * D; d < (n + 1) * D; d++) {
            dx[d] = factor[n] * y[d] * dproduct[d] + dtotal[d];
            dy[d] = factor[n] * x[d] * dproduct[d] + dtotal[d];
        }
    }
}

void nudge_forward(scalar_t* p, const scalar_t* g, float* m, int64_t L, int64_t step, float lr) {
    for (int64_t i = 0; i < L; i++) {
        p[i] -= static_cast<float>(step) * lr * g[i];
        m[i] += g[i];
    }
}
}
