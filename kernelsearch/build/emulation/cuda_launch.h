// From a launch's numbers to a kernel's arguments. A kernel's own C++ type says what it takes.
#pragma once

#include <tuple>
#include <utility>

#include "cuda_abi.h"

namespace ks {

// Codes: p and a dtype for a pointer (p alone where torch has no such dtype), else the number's own dtype.
template <typename T>
constexpr const char* dtype_of() {
    using U = std::remove_cv_t<T>;
    if constexpr (std::is_same_v<U, float>) return "float32";
    else if constexpr (std::is_same_v<U, double>) return "float64";
    else if constexpr (std::is_same_v<U, __nv_bfloat16>) return "bfloat16";
    else if constexpr (std::is_same_v<U, __half>) return "float16";
    else if constexpr (std::is_same_v<U, bool>) return "bool";
    else if constexpr (std::is_integral_v<U> && sizeof(U) == 1) return std::is_signed_v<U> ? "int8" : "uint8";
    else if constexpr (std::is_integral_v<U> && sizeof(U) == 2) return std::is_signed_v<U> ? "int16" : "uint16";
    else if constexpr (std::is_integral_v<U> && sizeof(U) == 4) return std::is_signed_v<U> ? "int32" : "uint32";
    else if constexpr (std::is_integral_v<U> && sizeof(U) == 8) return std::is_signed_v<U> ? "int64" : "uint64";
    else return "";
}

template <typename T>
constexpr void describe_one(char*& at, const char* end) {
    const char* text;
    if constexpr (std::is_pointer_v<T>) {
        if (at < end) *at++ = 'p';
        text = dtype_of<std::remove_pointer_t<T>>();
    } else {
        static_assert(dtype_of<T>()[0] != '\0', "a kernel takes pointers and numbers");
        text = dtype_of<T>();
    }
    while (*text != '\0' && at < end) *at++ = *text++;
    if (at < end) *at++ = ' ';
}

template <typename T>
T argument(uint64_t word) {
    T value{};
    std::memcpy(&value, &word, sizeof value);
    return value;
}

template <typename... P>
void run(const KsLaunch* launch, void (*kernel)(P...)) {
    if (launch->signature != nullptr) {
        char* at = launch->signature;
        const char* end = at + launch->signature_bytes - 1;
        (describe_one<std::remove_const_t<P>>(at, end), ...);
        *at = '\0';
        return;
    }
    struct Call {
        void (*kernel)(P...);
        std::tuple<std::remove_const_t<P>...> arguments;
    };
    const Call call{kernel, [&]<size_t... I>(std::index_sequence<I...>) {
        return std::tuple<std::remove_const_t<P>...>{argument<std::remove_const_t<P>>(launch->arguments[I])...};
    }(std::index_sequence_for<P...>{})};
    ks_cuda_run(launch, [](const void* closure) {
        const Call& made = *static_cast<const Call*>(closure);
        std::apply(made.kernel, made.arguments);
    }, &call);
}

}  // namespace ks
