// What all kernels share. NVRTC brings no standard headers, and none is needed here.
//
// On the host (tests compile the same sources as C++, see tests/cuda_host/) the macros that name CUDA's own words are
// defined by the shim that is included before this file.
#pragma once

// Dynamic shared memory of the size given at launch: SHARED(float, tile); one for each kernel.
#ifndef SHARED
#define SHARED(T, name)                                      \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    T* name = reinterpret_cast<T*>(name##_bytes)
#endif

// The two types of 16 bits, as they lie in memory: fp16 with 10 bits of mantissa, bf16 with float32's exponent and 7. They
// turn into float where they are read and are rounded to the nearest, ties to even, where they are written; nothing is
// computed in them. Written here because NVRTC's wheels bring no header for them.
struct half {
    unsigned short bits;
    half() = default;
    __device__ half(float value) { bits = half_bits(value); }
    __device__ operator float() const { return half_value(bits); }
#ifndef HALF_ON_HOST
    __device__ static unsigned short half_bits(float value) {
        unsigned short bits;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
        return bits;
    }
    __device__ static float half_value(unsigned short bits) {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
    }
#else
    HALF_ON_HOST
#endif
};

struct bfloat16 {
    unsigned short bits;
    bfloat16() = default;
    __device__ bfloat16(float value) {
        const unsigned whole = __float_as_uint(value);
        // A NaN could be carried over into an infinity.
        bits = value != value ? 0x7fff : (unsigned short)((whole + 0x7fff + (whole >> 16 & 1)) >> 16);
    }
    __device__ operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

// What is computed in where T lies in memory.
template <class T> struct Computing { using type = T; };
template <> struct Computing<half> { using type = float; };
template <> struct Computing<bfloat16> { using type = float; };
template <class T> using real = typename Computing<T>::type;

// An entry point for each type: FOR_TYPES(name, (const T* x, T* y, long long n), (x, y, n)) makes name_float and
// name_double of the template `name`. The parameters are written once, with T in them.
// LAUNCH_BOUNDS, where a source defines it first, says how large its blocks are and how many a multiprocessor should hold.
// T is the type there.
#ifndef LAUNCH_BOUNDS
#define LAUNCH_BOUNDS
#endif
#define ENTRY(name, suffix, type, parameters, arguments)                        \
    namespace entry_##name##_##suffix {                                         \
    using T = type;                                                             \
    extern "C" __global__ void LAUNCH_BOUNDS name##_##suffix parameters {       \
        name<T> arguments;                                                      \
    }                                                                           \
    }
#define FOR_TYPES(name, parameters, arguments)          \
    ENTRY(name, float, float, parameters, arguments)    \
    ENTRY(name, double, double, parameters, arguments)

// The same with the types of 16 bits, whose names end in half and bfloat16.
#define FOR_HALVES(name, parameters, arguments)             \
    ENTRY(name, half, half, parameters, arguments)          \
    ENTRY(name, bfloat16, bfloat16, parameters, arguments)
#define FOR_ALL_TYPES(name, parameters, arguments)    \
    FOR_TYPES(name, parameters, arguments)            \
    FOR_HALVES(name, parameters, arguments)

constexpr unsigned FULL_WARP = 0xffffffffu;

// Element numbers of this thread: for (long long i : a grid-stride loop).
__device__ inline long long first_element() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline long long element_stride() { return (long long)gridDim.x * blockDim.x; }

// The sum over a warp, in every lane; always added in the same order.
template <class T>
__device__ T warp_sum(T value) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(FULL_WARP, value, offset);
    return value;
}

// The largest over a warp, in every lane. NaN wins, as in NumPy's maximum.
template <class T>
__device__ T larger(T a, T b) { return a != a ? a : (b > a || b != b ? b : a); }

template <class T>
__device__ T warp_max(T value) {
    for (int offset = 16; offset > 0; offset /= 2) value = larger(value, __shfl_xor_sync(FULL_WARP, value, offset));
    return value;
}

// The sum over a block of up to 1024 threads in every thread; `shared` holds a number a warp. Ends with a barrier, so it
// may be called again with the same memory.
template <class T>
__device__ T block_sum(T value, T* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
    value = warp_sum(value);
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    T total = 0;
    for (int i = 0; i < warps; ++i) total += shared[i];
    __syncthreads();
    return total;
}

// This thread's share of the sum of n numbers, every blockDim.x-th of them, eight on their way at a time: a block that adds
// what others have left has nothing else to wait with.
template <class T>
__device__ double share_of_sum(const T* numbers, long long n) {
    constexpr int ROUNDS = 8;
    double sum = 0;
    for (long long i = threadIdx.x; i < n; i += ROUNDS * blockDim.x) {
        T held[ROUNDS];
        for (int k = 0; k < ROUNDS; ++k) held[k] = i + k * blockDim.x < n ? numbers[i + k * blockDim.x] : (T)0;
        for (int k = 0; k < ROUNDS; ++k) sum += (double)held[k];
    }
    return sum;
}

// A number that may change from step to step: read from the device where there is a pointer, so that a captured launch
// sees the new one.
template <class T>
__device__ T current(const T* pointer, T value) { return pointer ? *pointer : value; }

// A step number: a counter of the device, and how many steps after it a launch captured with others belongs to; the number
// itself where there is no pointer.
__device__ inline long long counted(const long long* counter, long long ahead) { return counter ? *counter + ahead : ahead; }
