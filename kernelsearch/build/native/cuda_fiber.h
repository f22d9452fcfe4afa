// A stack of its own for each emulated thread, and the switch between two of them.
//
// Written by hand where we can: swapcontext makes a system call at every switch, which is most of what it costs.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace fibers {

constexpr size_t STACK_BYTES = 128 << 10, PAGE = 4096;

#if defined(__x86_64__)

using Context = void*;  // where the registers that a call keeps lie, on the fiber's own stack

extern "C" void ks_switch(Context* from, Context to);
asm(R"(
.text
.globl ks_switch
.hidden ks_switch
.type ks_switch, @function
ks_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size ks_switch, . - ks_switch
)");

inline void prepare(Context& context, char* stack, void (*entry)()) {
    auto* top = reinterpret_cast<uint64_t*>(stack + STACK_BYTES);
    *--top = 0;  // a function begins with its stack 8 bytes off a multiple of 16
    *--top = reinterpret_cast<uint64_t>(entry);
    for (int saved = 0; saved < 6; saved++) *--top = 0;
    context = top;
}

inline void change(Context& from, Context& to) { ks_switch(&from, to); }

#else

using Context = ucontext_t;

inline void prepare(Context& context, char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}

inline void change(Context& from, Context& to) { swapcontext(&from, &to); }

#endif

// Memory for `count` stacks, a page that nobody may touch below each; null where there is none.
inline char* map_stacks(size_t count) {
    const size_t each = STACK_BYTES + PAGE;
    void* got = mmap(nullptr, count * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) return nullptr;
    char* stacks = static_cast<char*>(got);
    for (size_t i = 0; i < count; i++)
        if (mprotect(stacks + i * each, PAGE, PROT_NONE) != 0) return nullptr;
    return stacks;
}

inline char* stack_of(char* stacks, size_t index) { return stacks + index * (STACK_BYTES + PAGE) + PAGE; }

}  // namespace fibers
