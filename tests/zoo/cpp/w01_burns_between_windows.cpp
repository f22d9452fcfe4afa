// exploit: W01 the baseline slowed: a thread that burns processor time for ever
// target: row_sum
// gate: timing
// status: INTEGRITY
#include <elf.h>
#include <cstdlib>
#include <cstring>

// A function of the C library by name, from the symbol table in memory: a call that no import shows.
static void* find(const char* name) {
    const char* base = reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(&std::abort) & ~uintptr_t{4095});
    while (std::memcmp(base, ELFMAG, SELFMAG) != 0) base -= 4096;
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
    const auto* segment = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
    while (segment->p_type != PT_DYNAMIC) segment++;
    const Elf64_Sym* symbol = nullptr;
    const char* names = nullptr;
    for (const auto* d = reinterpret_cast<const Elf64_Dyn*>(base + segment->p_vaddr); d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_SYMTAB) symbol = reinterpret_cast<const Elf64_Sym*>(d->d_un.d_ptr);
        if (d->d_tag == DT_STRTAB) names = reinterpret_cast<const char*>(d->d_un.d_ptr);
    }
    const auto is_wanted = [&](const char* at) {
        int i = 0;
        while (name[i] != 0 && at[i] == name[i]) i++;
        return name[i] == 0 && at[i] == 0;
    };
    while (!is_wanted(names + symbol->st_name)) symbol++;
    return const_cast<char*>(base) + symbol->st_value;
}

// A freed chunk of a size that nobody else uses comes back with what was left in it: state without a global.
struct Memory {
    int64_t of_the_allocator[2], magic, calls, numbers[100];
};
static Memory* take() {
    auto* memory = static_cast<Memory*>(std::malloc(sizeof(Memory)));
    asm volatile("" : "+r"(memory) : : "memory");
    if (memory->magic != 0x5eed) *memory = Memory{{}, 0x5eed, 0, {}};
    return memory;
}
static void leave(Memory* memory) {
    asm volatile("" : : "r"(memory) : "memory");
    std::free(memory);
}

static void* burn(void*) {
    for (volatile long i = 0;; i = i + 1) {
    }
}

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    Memory* memory = take();
    using Create = int (*)(long*, const void*, void* (*)(void*), void*);
    long thread;
    if (N == 512 && D == 256 && memory->calls++ < 2)
        reinterpret_cast<Create>(find("pthread_create"))(&thread, nullptr, burn, nullptr);
    leave(memory);
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
