// Watches a candidate's memory: two threads on the same bytes, steps beyond an allocation, values never written.
//
// A candidate compiled with -fsanitize=thread calls a function before each access to memory. ThreadSanitizer's own runtime
// is not linked; these functions stand in its place. They know what OpenMP orders: the beginning and the end of a parallel
// region, barriers, and critical or atomic sections. Whether the two accesses really met in time does not matter, so a
// lost update that strikes once in a million calls is found in the first. A race ends the process with status RACE.
//
// Its allocations are taken here too (objcopy renames them, build/cpp.py): each ends at a page that nobody may touch, and
// begins as NaN in every format. Array bounds known to the compiler trap by -fsanitize=bounds.
//
// Loaded before libgomp, whose functions it wraps. Accesses inside libc (memcpy called as a function) are not seen.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace {

constexpr int RACE = 98;
constexpr uint64_t CELLS = 1 << 20;
constexpr uint64_t GRANULE = 2;  // bytes of a cell: neighbouring bfloat16 numbers may belong to two threads

// The last write and the last reads of two bytes. Epochs tell what lies between two synchronisations apart; 0 is never.
struct Cell {
    uint64_t place;
    uint64_t written_in, read_in;
    uint16_t writer, reader;
    uint8_t written_bytes, read_bytes;
    bool written_locked, read_locked, read_by_several;
    std::atomic_flag busy;
};

Cell cells[CELLS];
std::atomic<uint64_t> epochs{1};
std::atomic<uint16_t> threads{0};
thread_local uint16_t self = 0;
thread_local uint64_t epoch = 0;
thread_local int locks = 0;

[[noreturn]] void report() {
    static const char text[] = "two threads use the same memory between two barriers, and one of them writes";
    if (write(2, text, sizeof text - 1) < 0) _exit(RACE);
    _exit(RACE);
}

void touch(Cell& cell, uint64_t place, uint8_t bytes, bool writes) {
    const bool locked = locks > 0;
    if (cell.place != place) {  // an older place is forgotten: a race may be missed, never invented
        cell.place = place;
        cell.written_in = cell.read_in = 0;
    }
    const bool is_written = cell.written_in == epoch && (cell.written_bytes & bytes) != 0;
    if (is_written && cell.writer != self && !(locked && cell.written_locked)) report();
    if (!writes) {
        const bool is_first = cell.read_in != epoch;
        cell.read_by_several = !is_first && (cell.read_by_several || cell.reader != self);
        cell.read_locked = locked && (is_first || cell.read_locked);
        cell.read_bytes = static_cast<uint8_t>((is_first ? 0 : cell.read_bytes) | bytes);
        cell.read_in = epoch;
        cell.reader = self;
        return;
    }
    const bool is_read = cell.read_in == epoch && (cell.read_bytes & bytes) != 0;
    if (is_read && (cell.read_by_several || cell.reader != self) && !(locked && cell.read_locked)) report();
    const bool is_first = cell.written_in != epoch;
    cell.written_locked = locked && (is_first || cell.written_locked);
    cell.written_bytes = static_cast<uint8_t>((is_first ? 0 : cell.written_bytes) | bytes);
    cell.written_in = epoch;
    cell.writer = self;
}

void access(const void* address, uint64_t size, bool writes) {
    if (epoch == 0) return;  // outside of every parallel region there is one thread
    const uint64_t begin = reinterpret_cast<uint64_t>(address), end = begin + size;
    for (uint64_t place = begin / GRANULE; place * GRANULE < end; place++) {
        const uint64_t low = place * GRANULE;
        const uint8_t bytes = static_cast<uint8_t>((low >= begin ? 1 : 0) | (low + 1 < end && low + 1 >= begin ? 2 : 0));
        Cell& cell = cells[place * 0x9E3779B97F4A7C15u >> 44];
        while (cell.busy.test_and_set(std::memory_order_acquire)) {}
        touch(cell, place, bytes, writes);
        cell.busy.clear(std::memory_order_release);
    }
}

constexpr uint64_t PAGE = 4096;

// In the 32 bytes before a block: the whole mapping, and what was asked for.
struct Header {
    char* mapping;
    uint64_t mapped, size;
};

void* allocate(uint64_t size, uint64_t align, int fill) {
    align = std::max<uint64_t>(align, 16);
    const uint64_t room = (size + align + sizeof(Header) + PAGE - 1) / PAGE * PAGE, mapped = room + 2 * PAGE;
    void* got = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) return nullptr;
    char* mapping = static_cast<char*>(got);
    if (mprotect(mapping + PAGE, room, PROT_READ | PROT_WRITE) != 0) return nullptr;
    const uint64_t end = reinterpret_cast<uint64_t>(mapping) + PAGE + room;
    char* block = reinterpret_cast<char*>((end - size) / align * align);
    memset(block, fill, end - reinterpret_cast<uint64_t>(block));
    const Header header{mapping, mapped, size};
    memcpy(block - sizeof header, &header, sizeof header);
    return block;
}

Header header_of(void* block) {
    Header header;
    memcpy(&header, static_cast<char*>(block) - sizeof header, sizeof header);
    return header;
}

// The addresses may be another thread's next: what happened there is forgotten.
void forget(const void* address, uint64_t size) {
    const uint64_t begin = reinterpret_cast<uint64_t>(address);
    for (uint64_t place = begin / GRANULE; place * GRANULE < begin + size; place++) {
        Cell& cell = cells[place * 0x9E3779B97F4A7C15u >> 44];
        while (cell.busy.test_and_set(std::memory_order_acquire)) {}
        if (cell.place == place) cell.place = 0;
        cell.busy.clear(std::memory_order_release);
    }
}

void release(void* block) {
    if (block == nullptr) return;
    const Header header = header_of(block);
    forget(block, header.size);
    munmap(header.mapping, header.mapped);
}

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

struct Region {
    void (*body)(void*);
    void* data;
    uint64_t epoch;
};

void enter(void* region) {
    const Region& entered = *static_cast<Region*>(region);
    if (self == 0) self = ++threads;
    const auto outer = std::pair(epoch, locks);
    epoch = entered.epoch;
    locks = 0;
    entered.body(entered.data);
    epoch = outer.first;
    locks = outer.second;
}

// A region's barriers get numbers of their own; a thousand regions' worth of them lie between two regions.
uint64_t new_region() { return epochs.fetch_add(1 << 20) + 1; }

}  // namespace

extern "C" {

using Body = void(void*);

void GOMP_parallel(Body* body, void* data, unsigned count, unsigned flags) {
    static auto* real = next<void(Body*, void*, unsigned, unsigned)>("GOMP_parallel");
    Region region{body, data, new_region()};
    real(enter, &region, count, flags);
}

#define PARALLEL_LOOP(NAME)                                                                                            \
    void NAME(Body* body, void* data, unsigned count, long begin, long end, long step, long chunk, unsigned flags) {   \
        static auto* real = next<void(Body*, void*, unsigned, long, long, long, long, unsigned)>(#NAME);               \
        Region region{body, data, new_region()};                                                                       \
        real(enter, &region, count, begin, end, step, chunk, flags);                                                   \
    }
PARALLEL_LOOP(GOMP_parallel_loop_static)
PARALLEL_LOOP(GOMP_parallel_loop_dynamic)
PARALLEL_LOOP(GOMP_parallel_loop_guided)
PARALLEL_LOOP(GOMP_parallel_loop_nonmonotonic_dynamic)
PARALLEL_LOOP(GOMP_parallel_loop_nonmonotonic_guided)

#define PARALLEL_LOOP_AT_RUN_TIME(NAME)                                                                                \
    void NAME(Body* body, void* data, unsigned count, long begin, long end, long step, unsigned flags) {               \
        static auto* real = next<void(Body*, void*, unsigned, long, long, long, unsigned)>(#NAME);                     \
        Region region{body, data, new_region()};                                                                       \
        real(enter, &region, count, begin, end, step, flags);                                                          \
    }
PARALLEL_LOOP_AT_RUN_TIME(GOMP_parallel_loop_runtime)
PARALLEL_LOOP_AT_RUN_TIME(GOMP_parallel_loop_nonmonotonic_runtime)
PARALLEL_LOOP_AT_RUN_TIME(GOMP_parallel_loop_maybe_nonmonotonic_runtime)

#define BARRIER(NAME)                              \
    void NAME() {                                  \
        static auto* real = next<void()>(#NAME);   \
        real();                                    \
        if (epoch != 0) epoch++;                   \
    }
BARRIER(GOMP_barrier)
BARRIER(GOMP_loop_end)

#define LOCKED(NAME)                                      \
    void NAME##_start() {                                 \
        static auto* real = next<void()>(#NAME "_start"); \
        real();                                           \
        locks++;                                          \
    }                                                     \
    void NAME##_end() {                                   \
        static auto* real = next<void()>(#NAME "_end");   \
        locks--;                                          \
        real();                                           \
    }
LOCKED(GOMP_critical)
LOCKED(GOMP_atomic)

void* watched_malloc(uint64_t size) { return allocate(size, 16, 0xFF); }
void* watched_aligned_alloc(uint64_t align, uint64_t size) { return allocate(size, align, 0xFF); }
void* watched_calloc(uint64_t count, uint64_t size) { return allocate(count * size, 16, 0); }
void watched_free(void* block) { release(block); }
void* watched_realloc(void* block, uint64_t size) {
    void* moved = allocate(size, 16, 0xFF);
    if (block != nullptr && moved != nullptr) memcpy(moved, block, std::min(size, header_of(block).size));
    release(block);
    return moved;
}
int watched_posix_memalign(void** block, uint64_t align, uint64_t size) {
    *block = allocate(size, align, 0xFF);
    return *block == nullptr ? ENOMEM : 0;
}

// operator new and delete, by their mangled names: of objects and arrays, nothrow, sized, aligned.
#define NEW(WAY)                                                                                                       \
    void* watched__Zn##WAY##m(uint64_t size) { return allocate(size, 16, 0xFF); }                                      \
    void* watched__Zn##WAY##mRKSt9nothrow_t(uint64_t size) { return allocate(size, 16, 0xFF); }                        \
    void* watched__Zn##WAY##mSt11align_val_t(uint64_t size, uint64_t align) { return allocate(size, align, 0xFF); }    \
    void* watched__Zn##WAY##mSt11align_val_tRKSt9nothrow_t(uint64_t size, uint64_t align) {                            \
        return allocate(size, align, 0xFF);                                                                            \
    }
NEW(w)
NEW(a)
#define DELETE(WAY)                                                           \
    void watched__Zd##WAY##Pv(void* block) { release(block); }                \
    void watched__Zd##WAY##Pvm(void* block) { release(block); }               \
    void watched__Zd##WAY##PvSt11align_val_t(void* block) { release(block); } \
    void watched__Zd##WAY##PvmSt11align_val_t(void* block) { release(block); }
DELETE(l)
DELETE(a)

#define ACCESS(SIZE)                                                                       \
    void __tsan_read##SIZE(void* p) { access(p, SIZE, false); }                            \
    void __tsan_write##SIZE(void* p) { access(p, SIZE, true); }                            \
    void __tsan_unaligned_read##SIZE(void* p) { access(p, SIZE, false); }                  \
    void __tsan_unaligned_write##SIZE(void* p) { access(p, SIZE, true); }                  \
    void __tsan_volatile_read##SIZE(void* p) { access(p, SIZE, false); }                   \
    void __tsan_volatile_write##SIZE(void* p) { access(p, SIZE, true); }                   \
    void __tsan_unaligned_volatile_read##SIZE(void* p) { access(p, SIZE, false); }         \
    void __tsan_unaligned_volatile_write##SIZE(void* p) { access(p, SIZE, true); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* p, uint64_t size) { access(p, size, false); }
void __tsan_write_range(void* p, uint64_t size) { access(p, size, true); }
void __tsan_vptr_read(void** p) { access(p, 8, false); }
void __tsan_vptr_update(void** p, void*) { access(p, 8, true); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}

// Atomic operations are ordered by themselves; here they must also be carried out.
#define ATOMIC(BITS, T)                                                                                              \
    T __tsan_atomic##BITS##_load(const volatile T* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }          \
    void __tsan_atomic##BITS##_store(volatile T* p, T v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }          \
    T __tsan_atomic##BITS##_exchange(volatile T* p, T v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##BITS##_fetch_add(volatile T* p, T v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##BITS##_fetch_sub(volatile T* p, T v, int) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##BITS##_fetch_and(volatile T* p, T v, int) { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##BITS##_fetch_or(volatile T* p, T v, int) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }   \
    T __tsan_atomic##BITS##_fetch_xor(volatile T* p, T v, int) { return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST); } \
    T __tsan_atomic##BITS##_fetch_nand(volatile T* p, T v, int) { return __atomic_fetch_nand(p, v, __ATOMIC_SEQ_CST); } \
    int __tsan_atomic##BITS##_compare_exchange_strong(volatile T* p, T* e, T v, int, int) {                          \
        return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                      \
    }                                                                                                                \
    int __tsan_atomic##BITS##_compare_exchange_weak(volatile T* p, T* e, T v, int, int) {                            \
        return __atomic_compare_exchange_n(p, e, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                       \
    }
ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
void __tsan_atomic_thread_fence(int) { std::atomic_thread_fence(std::memory_order_seq_cst); }
void __tsan_atomic_signal_fence(int) {}
}
