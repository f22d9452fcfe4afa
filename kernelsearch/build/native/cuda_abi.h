// What an emulated CUDA kernel and the runtime that runs its threads (cuda_runtime.cpp) know of each other.
//
// A candidate's object keeps no state: everything that changes lies in the runtime, whose functions it calls.
#pragma once

#include <cstddef>
#include <cstdint>

struct KsIndex {
    unsigned x, y, z;
};

// One CUDA thread. Its address and its numbers stay the same while it lives, so the compiler may ask once.
struct KsThread {
    KsIndex thread, block, block_size, grid_size;
    unsigned lane;
};

// One launch; `arguments` holds eight bytes for each. With `signature` set nothing runs: the kernel's parameters are
// written there, one code of KS_CODES a parameter.
struct KsLaunch {
    KsIndex grid, block;
    uint64_t shared_bytes;
    const uint64_t* arguments;
    char* signature;
    uint64_t signature_bytes;
};

using KsBody = void (*)(const void* closure);

extern "C" {
// The thread that asks.
const KsThread* ks_cuda_thread() __attribute__((const, nothrow));
// Waits for every thread of the block; how many of them brought a predicate that is not 0.
unsigned ks_cuda_barrier(int line, int predicate);
// Waits for the lanes of `mask`; what each of them brought, by lane, until this lane's next exchange. `kind` is the
// intrinsic that was called, and *present the lanes that took part.
const uint64_t* ks_cuda_exchange(int line, int kind, unsigned mask, uint64_t value, unsigned* present);
// Memory of the block for one declaration, the same for all its threads; full of NaN at first.
void* ks_cuda_shared(const void* function, int line, uint64_t bytes, uint64_t align);
void* ks_cuda_dynamic_shared(int line);
[[noreturn]] void ks_cuda_fail(int line, const char* what);
void ks_cuda_run(const KsLaunch* launch, KsBody body, const void* closure);
}
