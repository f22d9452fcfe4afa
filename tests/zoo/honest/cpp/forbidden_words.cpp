// honest: comments and names with every forbidden word in them

// system("rm -rf /"); fork(); socket(); pthread_create; mprotect; __attribute__((constructor)); static int calls; asm
// volatile("syscall"); rdtsc; open("/etc/passwd"); torch.cuda.synchronize(); exit(0); dlopen; getenv; thread_local
static float fork_join(const float* x, int64_t count) {
    float sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    return sum;
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) total[n] = scale * fork_join(x + n * D, D);
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
