// CUDA C compiled by g++: included before a candidate's text, so that the same text computes the same on the processor.
//
// Threads and what they wait for are functions of build/native/cuda_runtime.cpp; numbers, vectors and mathematics are
// here. Exact where CUDA is exact; __expf and its like are as exact as expf here, and less so on a device. What there is
// no way to emulate is refused before compiling (build/cuda.py).
#pragma once

#include <math.h>
#include <stdlib.h>

#include <cfloat>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda_abi.h"
#include "cuda_numbers.h"
#include "cuda_vectors.h"
#include "cuda_mathematics.h"
#include "cuda_threads.h"
#include "cuda_launch.h"

#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

#define CUDART_INF_F (__builtin_inff())
#define CUDART_NAN_F (__builtin_nanf(""))
#define CUDART_PI_F 3.141592654f
#define CUDART_L2E_F 1.442695041f
#define CUDART_LN2_F 0.693147181f
