// Runs CUDA kernels on the processor: every thread of a block a fiber, blocks side by side on OpenMP's threads.
//
// A fiber runs until it waits: at a barrier, or for the other lanes of its warp. In which order fibers of a block and
// blocks of a grid run is drawn anew for every launch (forward, backward, mixed), so that a missing barrier, or a sum
// whose order matters, shows as another result. Shared memory is full of NaN before each block and fenced; lanes or
// threads that wait for somebody who will not come are a failure with the line at which each of them waits.
//
// A failure ends the process with what it was on standard error. Loaded before the confinement, so that the candidate's
// object finds these functions; nothing of the candidate runs before.
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "cuda_abi.h"
#include "cuda_fiber.h"

extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

namespace {

constexpr int FAILED = 1;
constexpr unsigned WARP = 32, MAXIMUM_THREADS = 1024, MAXIMUM_ARRAYS = 128;
constexpr uint64_t STATIC_BYTES = 48 << 10, TOTAL_BYTES = 227 << 10, FENCE = 64;
constexpr char TRAPPED[] = "an index lies beyond the bounds of its array, or a vector's address is not aligned";
constexpr unsigned char POISON = 0xFF, GUARD = 0xA5;

enum State : uint8_t { READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
    fibers::Context context;
    KsThread self;
    State state;
    int line, kind, predicate;
    unsigned mask;
    uint64_t value;
};

struct SharedArray {
    const void* function;
    int line;
    uint64_t offset, bytes;
};

// What one of OpenMP's threads needs to run a block; made at its first block and kept.
struct Block {
    fibers::Context scheduler;
    KsBody body;
    const void* closure;
    unsigned threads = 0, stacks_for = 0, done = 0;
    Fiber fibers[MAXIMUM_THREADS];
    uint64_t snapshot[MAXIMUM_THREADS];
    unsigned released[MAXIMUM_THREADS];        // the lanes of its last exchange
    unsigned reading[MAXIMUM_THREADS / WARP];  // lanes that have not yet read what the others brought
    unsigned count_of_barrier = 0;
    char* stacks = nullptr;
    char* arena = nullptr;    // of __shared__ arrays, each between two fences
    char* dynamic = nullptr;  // ends at a page that nobody may touch
    uint64_t used = 0, dynamic_bytes = 0;
    SharedArray arrays[MAXIMUM_ARRAYS];
    unsigned array_count = 0;
    uint64_t random = 0;
};

thread_local Block* block = nullptr;
thread_local Fiber* current = nullptr;
uint64_t launches = 0, salt = 0;

[[noreturn]] void give_up(const char* what) {
    if (write(2, what, strlen(what)) < 0) _exit(FAILED);
    _exit(FAILED);
}

[[noreturn]] void fail_at(const Fiber& fiber, int line, const char* what) {
    const KsIndex b = fiber.self.block, t = fiber.self.thread;
    char text[400], place[40] = "";
    if (line > 0) snprintf(place, sizeof place, "line %d: ", line);
    snprintf(text, sizeof text, "%s%s (block %u,%u,%u thread %u,%u,%u)", place, what, b.x, b.y, b.z, t.x, t.y, t.z);
    give_up(text);
}

void* map(uint64_t bytes) {
    void* got = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED) give_up("no memory is left for the emulated block");
    return got;
}

Block* make_block() {
    Block* made = new (map(sizeof(Block))) Block;
    const uint64_t arena = STATIC_BYTES + (MAXIMUM_ARRAYS + 2) * 2 * FENCE, dynamic = 256 << 10;
    made->arena = static_cast<char*>(map(arena));
    char* room = static_cast<char*>(map(dynamic + fibers::PAGE));
    if (mprotect(room + dynamic, fibers::PAGE, PROT_NONE) != 0) give_up("mprotect failed");
    made->dynamic = room + dynamic;
    return made;
}

uint64_t draw(uint64_t& state) {  // splitmix64
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

// An order of 0..count-1: forward, backward, or steps of a length that shares no divisor with the count.
struct Order {
    uint64_t count, step, start;
    Order(uint64_t n, uint64_t& random) : count(n), step(1), start(0) {
        switch (draw(random) % 3) {
            case 0: break;
            case 1: step = n - 1, start = n - 1; break;
            default:
                start = draw(random) % n;
                for (step = draw(random) % n | 1; gcd(step, n) != 1;) step += 2;
        }
        if (step == 0) step = 1;
    }
    static uint64_t gcd(uint64_t a, uint64_t b) { return b == 0 ? a : gcd(b, a % b); }
    uint64_t at(uint64_t i) const {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * step + start) % count);
    }
};

void finish() {
    fibers::Context& scheduler = block->scheduler;
    current->state = DONE;
    block->done++;
    fibers::change(current->context, scheduler);
    __builtin_unreachable();
}

void enter() {
    block->body(block->closure);
    finish();
}

void wait_as(State state) {
    current->state = state;
    Fiber* me = current;
    fibers::change(me->context, block->scheduler);
}

unsigned lanes_alive(unsigned first) {
    unsigned alive = 0;
    for (unsigned lane = 0; lane < WARP && first + lane < block->threads; lane++)
        if (block->fibers[first + lane].state != DONE) alive |= 1u << lane;
    return alive;
}

// Whether all lanes that `fiber` waits for have come; then each of them gets what all brought.
bool complete_warp(const Fiber& fiber, unsigned index) {
    const unsigned first = index / WARP * WARP, wanted = fiber.mask & lanes_alive(first);
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(wanted >> lane & 1)) continue;
        const Fiber& other = block->fibers[first + lane];
        if (other.state != IN_WARP) return false;
        if (other.mask != fiber.mask)
            fail_at(other, other.line, "lanes of a warp wait for each other with different masks: give all of them one");
        if (other.kind != fiber.kind) fail_at(other, other.line, "lanes of a warp are at different intrinsics");
    }
    unsigned& reading = block->reading[index / WARP];
    for (unsigned lane = 0; lane < WARP; lane++)
        if ((wanted >> lane & 1) && (block->released[first + lane] & reading)) return false;
    reading |= wanted;
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(wanted >> lane & 1)) continue;
        Fiber& other = block->fibers[first + lane];
        block->snapshot[first + lane] = other.value;
        block->released[first + lane] = wanted;
        other.state = READY;
    }
    return true;
}

// All threads that are left stand at one barrier, or somebody waits in vain.
void complete_barrier() {
    const Fiber* leader = nullptr;
    unsigned count = 0;
    for (unsigned i = 0; i < block->threads; i++) {
        Fiber& fiber = block->fibers[i];
        if (fiber.state == IN_WARP)
            fail_at(fiber, fiber.line, "waits for lanes of its warp that never come: every lane of the mask must get here");
        if (fiber.state != AT_BARRIER) continue;
        if (leader == nullptr) leader = &fiber;
        if (fiber.line != leader->line) {
            char text[160];
            snprintf(text, sizeof text, "threads of a block wait at different barriers (the other at line %d): move the "
                     "barrier out of the branch", leader->line);
            fail_at(fiber, fiber.line, text);
        }
        count += fiber.predicate != 0;
    }
    if (leader == nullptr) give_up("no thread of a block can go on");
    if (block->done != 0)
        fail_at(*leader, leader->line, "waits at a barrier that other threads of its block have left for good: no thread "
                "may return before the last barrier");
    block->count_of_barrier = count;
    for (unsigned i = 0; i < block->threads; i++) block->fibers[i].state = READY;
}

void check_fences() {
    for (unsigned i = 0; i < block->array_count; i++) {
        const SharedArray& array = block->arrays[i];
        const char* begin = block->arena + array.offset;
        for (uint64_t at = 0; at < FENCE; at++)
            if (static_cast<unsigned char>(begin[-1 - static_cast<int64_t>(at)]) != GUARD ||
                static_cast<unsigned char>(begin[array.bytes + at]) != GUARD)
                fail_at(block->fibers[0], array.line, "a thread writes beyond this __shared__ array");
    }
}

void run_block(const KsLaunch& launch, KsIndex at, uint64_t random) {
    block->threads = launch.block.x * launch.block.y * launch.block.z;
    block->dynamic_bytes = launch.shared_bytes;
    block->used = block->array_count = block->done = 0;
    block->random = random;
    memset(block->dynamic - (launch.shared_bytes + 15) / 16 * 16, POISON, (launch.shared_bytes + 15) / 16 * 16);
    for (unsigned i = 0; i < block->threads; i++) {
        Fiber& fiber = block->fibers[i];
        const KsIndex t{i % launch.block.x, i / launch.block.x % launch.block.y, i / launch.block.x / launch.block.y};
        fiber.self = {t, at, launch.block, launch.grid, i % WARP};
        fiber.state = READY;
        fibers::prepare(fiber.context, fibers::stack_of(block->stacks, i), enter);
    }
    memset(block->reading, 0, sizeof block->reading);
    while (block->done < block->threads) {
        bool went_on = false;
        const Order order(block->threads, block->random);
        for (unsigned i = 0; i < block->threads; i++) {
            const auto index = static_cast<unsigned>(order.at(i));
            Fiber& fiber = block->fibers[index];
            if (fiber.state == READY) {
                current = &fiber;
                fibers::change(block->scheduler, fiber.context);
                went_on = true;
            } else if (fiber.state == IN_WARP && complete_warp(fiber, index)) {
                went_on = true;  // a lane that it waited for has returned
            }
        }
        if (!went_on) complete_barrier();
    }
    current = nullptr;
    check_fences();
}

// The blocks of one launch, taken one by one by as many threads as come.
struct Grid {
    const KsLaunch* launch;
    KsBody body;
    const void* closure;
    Order order;
    uint64_t seed;
    std::atomic<uint64_t> next;

    void run() {
        const unsigned threads = launch->block.x * launch->block.y * launch->block.z;
        if (block == nullptr) block = make_block();
        if (block->stacks_for < threads) {
            block->stacks = fibers::map_stacks(threads);  // the smaller ones stay: nothing here is ever given back
            if (block->stacks == nullptr) give_up("no memory is left for the stacks of a block");
            block->stacks_for = threads;
        }
        block->body = body;
        block->closure = closure;
        const uint64_t x = launch->grid.x, y = launch->grid.y;
        for (uint64_t i = next++; i < order.count; i = next++) {
            const uint64_t number = order.at(i);
            const KsIndex at{static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y),
                             static_cast<unsigned>(number / x / y)};
            run_block(*launch, at, seed ^ number * 0x9E3779B97F4A7C15u);
        }
    }
};

void on_trap(int) {
    if (current != nullptr) fail_at(*current, 0, TRAPPED);
    give_up(TRAPPED);
}

void on_fault(int signal) {
    if (current != nullptr) fail_at(*current, 0, "reads or writes outside of every tensor and every shared array");
    ::signal(signal, SIG_DFL);  // not of a kernel's making: returning meets the same fault again
}

__attribute__((constructor)) void start() {
    if (getrandom(&salt, sizeof salt, GRND_NONBLOCK) < 0) salt = static_cast<uint64_t>(getpid());
    struct sigaction action = {};
    action.sa_handler = on_trap;
    sigaction(SIGILL, &action, nullptr);
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

extern "C" {

const KsThread* ks_cuda_thread() { return &current->self; }

unsigned ks_cuda_barrier(int line, int predicate) {
    current->line = line;
    current->predicate = predicate;
    wait_as(AT_BARRIER);
    return block->count_of_barrier;
}

const uint64_t* ks_cuda_exchange(int line, int kind, unsigned mask, uint64_t value, unsigned* present) {
    Fiber* me = current;
    const auto index = static_cast<unsigned>(me - block->fibers);
    if (!(mask >> me->self.lane & 1)) ks_cuda_fail(line, "the mask does not name the lane that calls");
    me->line = line, me->kind = kind, me->mask = mask, me->value = value;
    me->state = IN_WARP;
    if (!complete_warp(*me, index)) fibers::change(me->context, block->scheduler);
    block->reading[index / WARP] &= ~(1u << me->self.lane);
    *present = block->released[index];
    return block->snapshot + index / WARP * WARP;
}

void* ks_cuda_shared(const void* function, int line, uint64_t bytes, uint64_t align) {
    for (unsigned i = 0; i < block->array_count; i++)
        if (block->arrays[i].function == function && block->arrays[i].line == line)
            return block->arena + block->arrays[i].offset;
    align = std::max<uint64_t>(align, 16);
    const uint64_t offset = (block->used + FENCE + align - 1) / align * align;
    if (block->array_count == MAXIMUM_ARRAYS || offset + bytes > STATIC_BYTES + block->array_count * 2 * FENCE + FENCE)
        ks_cuda_fail(line, "more than 48 KiB of __shared__ arrays: use extern __shared__ and shared_bytes");
    block->arrays[block->array_count++] = {function, line, offset, bytes};
    memset(block->arena + offset - FENCE, GUARD, bytes + 2 * FENCE);
    memset(block->arena + offset, POISON, bytes);
    block->used = offset + bytes + FENCE;
    return block->arena + offset;
}

void* ks_cuda_dynamic_shared(int line) {
    if (block->dynamic_bytes == 0) ks_cuda_fail(line, "extern __shared__ without memory: launch with shared_bytes=...");
    return block->dynamic - (block->dynamic_bytes + 15) / 16 * 16;
}

[[noreturn]] void ks_cuda_fail(int line, const char* what) {
    if (current != nullptr) fail_at(*current, line, what);
    give_up(what);
}

void ks_cuda_run(const KsLaunch* launch, KsBody body, const void* closure) {
    const uint64_t blocks = uint64_t{launch->grid.x} * launch->grid.y * launch->grid.z;
    const unsigned threads = launch->block.x * launch->block.y * launch->block.z;
    if (blocks == 0 || threads == 0 || threads > MAXIMUM_THREADS) give_up("a launch without threads, or with too many");
    if (launch->shared_bytes > TOTAL_BYTES) give_up("a launch with more than 227 KiB of shared memory");
    uint64_t random = salt + ++launches;
    const Order order(blocks, random);
    Grid grid{launch, body, closure, order, draw(random), {0}};
    if (blocks == 1) grid.run();
    else GOMP_parallel([](void* made) { static_cast<Grid*>(made)->run(); }, &grid, 0, 0);
}
}
