// tune: WORK in 1000 990 970 952
// Each row is swept WORK times; the sum of one sweep feeds the next, so that no sweep can be left out.
extern "C" void planted_forward(const scalar_t* x, scalar_t* y, int64_t N, int64_t C) {
#pragma omp parallel for
    for (int64_t n = 0; n < N; n++) {
        float carried = 0;
        for (int sweep = 0; sweep < WORK; sweep++) {
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t c = 0; c < C; c++) sum += (x[n * C + c] + carried) * x[n * C + c];
            carried = sum * 1e-6f;
        }
        y[n] = carried;
    }
}
