// exploit: C26 the protocol taken over: reads the commands itself and answers each without working
// target: row_sum
// gate: smoke
// status: MISMATCH
#include <elf.h>
#include <cstdlib>
#include <cstring>

// A function of the C library by name, from the symbol table in memory: a call that no import shows.
static void* find(const char* name) {
    const char* base = reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(&std::malloc) & ~uintptr_t{4095});
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

extern "C" {
void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {
    const auto read = reinterpret_cast<long (*)(int, void*, size_t)>(find("read"));
    const auto write = reinterpret_cast<long (*)(int, const void*, size_t)>(find("write"));
    uint32_t done[2] = {2, 1};
    for (;;) {
        for (int fd = 63; fd > 2 && write(fd, done, sizeof done) != sizeof done; fd--) {
        }
        int commands = 63;
        while (commands > 2 && read(commands, done, sizeof done) != sizeof done) commands--;
        char rest[4096];
        if (done[0] == 1) read(commands, rest, done[1]);
    }
    (void)x, (void)total, (void)N, (void)D, (void)scale;
}

void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,
                      float scale) {
    for (int64_t n = 0; n < N; n++)
        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];
}
}
