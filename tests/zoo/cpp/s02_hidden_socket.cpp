// exploit: S02 network: the system call hidden inside the immediate of another instruction
// target: row_sum
// gate: smoke
// status: INTEGRITY

// The same instruction inside the immediate of another: a jump into its middle finds it, a disassembler does not.
static long hidden(long number, long a, long b, long c) {
    long result = number;
    asm volatile("jmp 1f+2\n1: movl $0x9090050f, %%r9d" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r9", "r11", "memory");
    return result;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    hidden(41, 2, 1, 0);
    for (int64_t n = 0; n < N; n++) {
        float sum = 0;
        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];
        total[n] = scale * sum;
    }
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
