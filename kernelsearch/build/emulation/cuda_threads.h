// Who a thread is, barriers, warps, atomics, and memory with its caching hints (which mean nothing here).
//
// Intrinsics that wait are macros, so that a failure can name the line at which somebody waits.
#pragma once

#include "cuda_abi.h"

#define threadIdx (ks_cuda_thread()->thread)
#define blockIdx (ks_cuda_thread()->block)
#define blockDim (ks_cuda_thread()->block_size)
#define gridDim (ks_cuda_thread()->grid_size)
constexpr int warpSize = 32;

#define __syncthreads() static_cast<void>(ks_cuda_barrier(__LINE__, 0))
#define __syncthreads_count(predicate) static_cast<int>(ks_cuda_barrier(__LINE__, (predicate) != 0))
#define __syncthreads_or(predicate) static_cast<int>(ks_cuda_barrier(__LINE__, (predicate) != 0) != 0)
#define __syncthreads_and(predicate) static_cast<int>(ks_cuda_barrier(__LINE__, (predicate) == 0) == 0)
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

namespace ks {

enum Kind { SYNC, SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, VOTE, MATCH, REDUCE };
enum Operation { ADD, MIN, MAX, AND, OR, XOR };

inline void sync_warp(int line, unsigned mask = ~0u) {
    unsigned present;
    ks_cuda_exchange(line, SYNC, mask, 0, &present);
}

template <typename T>
inline T shuffle(int line, Kind kind, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "shuffles move at most 8 bytes");
    uint64_t word = 0;
    unsigned present;
    std::memcpy(&word, &value, sizeof value);
    const uint64_t* all = ks_cuda_exchange(line, kind, mask, word, &present);
    if (!(present >> source & 1)) ks_cuda_fail(line, "shuffles from a lane that takes no part");
    std::memcpy(&value, all + source, sizeof value);
    return value;
}

inline unsigned lane() { return ks_cuda_thread()->lane; }

inline unsigned checked_width(int line, int width) {
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) ks_cuda_fail(line, "a width that is no power of two up to 32");
    return static_cast<unsigned>(width);
}

template <typename T>
inline T shfl(int line, unsigned mask, T value, int source, int width = 32) {
    const unsigned w = checked_width(line, width), from = (lane() & ~(w - 1)) | (static_cast<unsigned>(source) & (w - 1));
    return shuffle(line, SHUFFLE, mask, value, from);
}
template <typename T>
inline T shfl_up(int line, unsigned mask, T value, unsigned delta, int width = 32) {
    const unsigned w = checked_width(line, width), from = (lane() & (w - 1)) >= delta ? lane() - delta : lane();
    return shuffle(line, SHUFFLE_UP, mask, value, from);
}
template <typename T>
inline T shfl_down(int line, unsigned mask, T value, unsigned delta, int width = 32) {
    const unsigned w = checked_width(line, width), from = (lane() & (w - 1)) + delta < w ? lane() + delta : lane();
    return shuffle(line, SHUFFLE_DOWN, mask, value, from);
}
template <typename T>
inline T shfl_xor(int line, unsigned mask, T value, int bits, int width = 32) {
    const unsigned w = checked_width(line, width), other = (lane() ^ static_cast<unsigned>(bits)) & 31u;
    return shuffle(line, SHUFFLE_XOR, mask, value, (other & ~(w - 1)) > (lane() & ~(w - 1)) ? lane() : other);
}

inline unsigned ballot(int line, unsigned mask, int predicate, unsigned* present) {
    const uint64_t* all = ks_cuda_exchange(line, VOTE, mask, predicate != 0, present);
    unsigned found = 0;
    for (unsigned i = 0; i < 32; i++)
        if (*present >> i & 1) found |= static_cast<unsigned>(all[i] != 0) << i;
    return found;
}
inline unsigned ballot(int line, unsigned mask, int predicate) {
    unsigned present;
    return ballot(line, mask, predicate, &present);
}
inline int all(int line, unsigned mask, int predicate) {
    unsigned present;
    const unsigned found = ballot(line, mask, predicate, &present);
    return found == present;
}

template <typename T>
inline unsigned match_any(int line, unsigned mask, T value) {
    uint64_t word = 0;
    unsigned present, found = 0;
    std::memcpy(&word, &value, sizeof value);
    const uint64_t* others = ks_cuda_exchange(line, MATCH, mask, word, &present);
    for (unsigned i = 0; i < 32; i++)
        if ((present >> i & 1) && others[i] == word) found |= 1u << i;
    return found;
}

template <Operation OPERATION, typename T>
inline T reduce(int line, unsigned mask, T value) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "__reduce_*_sync takes int and unsigned");
    unsigned present;
    const uint64_t* all = ks_cuda_exchange(line, REDUCE + OPERATION, mask, static_cast<uint32_t>(value), &present);
    bool is_first = true;
    T total = 0;
    for (unsigned i = 0; i < 32; i++) {
        if (!(present >> i & 1)) continue;
        const T one = static_cast<T>(static_cast<uint32_t>(all[i]));
        if (is_first) total = one;
        else if (OPERATION == ADD) total = static_cast<T>(static_cast<uint32_t>(total) + static_cast<uint32_t>(one));
        else if (OPERATION == MIN) total = one < total ? one : total;
        else if (OPERATION == MAX) total = one > total ? one : total;
        else if (OPERATION == AND) total &= one;
        else if (OPERATION == OR) total |= one;
        else total ^= one;
        is_first = false;
    }
    return total;
}

// A new value made of the old one, put there in one step; returns the old one.
template <typename T, typename Change>
inline T update(T* place, Change change) {
    using Word = std::conditional_t<sizeof(T) == 8, uint64_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>>;
    auto* word = reinterpret_cast<Word*>(place);
    Word old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    for (;;) {
        const T before = as<T>(old);
        const Word after = as<Word>(change(before));
        if (__atomic_compare_exchange_n(word, &old, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return before;
    }
}

}  // namespace ks

#define __syncwarp(...) ::ks::sync_warp(__LINE__ __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(...) ::ks::shfl(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) ::ks::shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) ::ks::shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) ::ks::shfl_xor(__LINE__, __VA_ARGS__)
#define __ballot_sync(...) ::ks::ballot(__LINE__, __VA_ARGS__)
#define __any_sync(...) (::ks::ballot(__LINE__, __VA_ARGS__) != 0)
#define __all_sync(...) ::ks::all(__LINE__, __VA_ARGS__)
#define __match_any_sync(...) ::ks::match_any(__LINE__, __VA_ARGS__)
#define __reduce_add_sync(...) ::ks::reduce<::ks::ADD>(__LINE__, __VA_ARGS__)
#define __reduce_min_sync(...) ::ks::reduce<::ks::MIN>(__LINE__, __VA_ARGS__)
#define __reduce_max_sync(...) ::ks::reduce<::ks::MAX>(__LINE__, __VA_ARGS__)
#define __reduce_and_sync(...) ::ks::reduce<::ks::AND>(__LINE__, __VA_ARGS__)
#define __reduce_or_sync(...) ::ks::reduce<::ks::OR>(__LINE__, __VA_ARGS__)
#define __reduce_xor_sync(...) ::ks::reduce<::ks::XOR>(__LINE__, __VA_ARGS__)

#define KS_ATOMIC(NAME, EXPRESSION)                                                                      \
    template <typename T>                                                                                \
    inline T NAME(T* place, std::type_identity_t<T> value) {                                             \
        return ks::update(place, [value](T old) -> T { return EXPRESSION; });                            \
    }
KS_ATOMIC(atomicAdd, old + value)
KS_ATOMIC(atomicSub, old - value)
KS_ATOMIC(atomicExch, (static_cast<void>(old), value))
KS_ATOMIC(atomicMin, value < old ? value : old)
KS_ATOMIC(atomicMax, value > old ? value : old)
KS_ATOMIC(atomicAnd, old & value)
KS_ATOMIC(atomicOr, old | value)
KS_ATOMIC(atomicXor, old ^ value)
KS_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
KS_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
#undef KS_ATOMIC
template <typename T>
inline T atomicCAS(T* place, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
    return ks::update(place, [=](T old) -> T { return old == expected ? value : old; });
}

#define KS_LOAD(NAME) template <typename T> inline T NAME(const T* place) { return *place; }
KS_LOAD(__ldg)
KS_LOAD(__ldca)
KS_LOAD(__ldcg)
KS_LOAD(__ldcs)
KS_LOAD(__ldcv)
KS_LOAD(__ldlu)
#undef KS_LOAD
#define KS_STORE(NAME) template <typename T> inline void NAME(T* place, std::type_identity_t<T> value) { *place = value; }
KS_STORE(__stcg)
KS_STORE(__stcs)
KS_STORE(__stwb)
KS_STORE(__stwt)
#undef KS_STORE
