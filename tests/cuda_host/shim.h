// CUDA's words for a C++ compiler, so that a kernel's source runs on the host: every thread of a block is a fiber, blocks
// run one after another. At a barrier a fiber takes turns until all that still run are there; a shuffle is: write, turn,
// read, turn. A device promises no order: every other block has its threads take turns from the last to the first, so that
// a barrier that is missing shows, whichever thread should have waited. It shows what a kernel computes, on any machine; other races
// and speed it cannot show.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <functional>
#include <vector>
#include <ucontext.h>

struct dim3 { unsigned x, y, z; };
struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define __align__(n) alignas(n)
#define __shared__ static
#define __constant__ static
#define SHARED(T, name) T* name = reinterpret_cast<T*>(host::shared.data())
#define __ldg(pointer) (*(pointer))

// A clock that every look moves on: what waits for it waits for nothing else.
inline long long clock64() {
    static long long ticks = 0;
    return ticks += 1ll << 30;
}

namespace host {
inline std::vector<unsigned char> shared;

// ucontext starts a fiber on a stack of its own; from then on it is left and entered again by setjmp and longjmp, which,
// unlike swapcontext, ask nothing of the system.
struct Fiber {
    ucontext_t context;
    jmp_buf place;
    std::vector<char> stack = std::vector<char>(1 << 16);
    dim3 thread;
    bool begun, done;
};
inline std::vector<Fiber> fibers;
inline std::vector<std::uint64_t> slots;
inline jmp_buf scheduler;
inline std::function<void()> body;
inline unsigned current, waiting, barriers;
inline const char* broken;  // what a kernel did that a device leaves undefined

inline void turn() {
    const unsigned mine = current;
    if (!_setjmp(fibers[mine].place)) _longjmp(scheduler, 1);
    current = mine;
    threadIdx = fibers[mine].thread;
}

inline void barrier() {
    ++waiting;
    for (const unsigned passed = barriers; passed == barriers;) turn();
}

inline void start() {
    body();
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

// Has fiber i run until it waits or ends.
inline void enter(unsigned i) {
    Fiber& fiber = fibers[i];
    current = i;
    threadIdx = fiber.thread;
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

inline void run(dim3 grid, dim3 block, std::size_t bytes, std::function<void()> kernel) {
    body = std::move(kernel);
    gridDim = grid;
    blockDim = block;
    const unsigned count = block.x * block.y * block.z;
    if (fibers.size() < count) fibers.resize(count);
    slots.assign(count, 0);
    broken = nullptr;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                blockIdx = {x, y, z};
                // Shared memory holds whatever was there before, here what no sum survives.
                shared.assign(bytes, 0xff);
                for (unsigned i = 0; i < count; ++i) {
                    Fiber& fiber = fibers[i];
                    fiber.begun = fiber.done = false;
                    fiber.thread = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
                    getcontext(&fiber.context);
                    fiber.context.uc_stack.ss_sp = fiber.stack.data();
                    fiber.context.uc_stack.ss_size = fiber.stack.size();
                    fiber.context.uc_link = nullptr;
                    makecontext(&fiber.context, start, 0);
                }
                for (unsigned running = count; running;) {
                    for (unsigned k = 0; k < count; ++k) {
                        const unsigned i = (x + y + z) % 2 ? k : count - 1 - k;
                        if (fibers[i].done) continue;
                        enter(i);
                        running -= fibers[i].done;
                    }
                    if (waiting == running) {
                        waiting = 0;
                        ++barriers;
                    }
                }
            }
}

inline unsigned lane() { return current % 32; }

template <class T>
T shuffle(T value, unsigned from) {
    static_assert(sizeof(T) <= 8);
    for (unsigned i = current - lane(), end = i + 32; i < end; ++i) {
        if (i >= slots.size() || fibers[i].done) broken = "a whole warp's shuffle without some of its lanes";
    }
    std::memcpy(&slots[current], &value, sizeof(T));
    const unsigned source = current - lane() + from % 32;
    turn();
    T result;
    std::memcpy(&result, &slots[source < slots.size() ? source : current], sizeof(T));
    turn();
    return result;
}
}  // namespace host

extern "C" const char* host_broken() { return host::broken; }

inline void __syncthreads() { host::barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { host::turn(); }
inline void __threadfence() {}
template <class T> T __shfl_sync(unsigned, T v, int from) { return host::shuffle(v, from); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return host::shuffle(v, host::lane() ^ mask); }
template <class T> T __shfl_down_sync(unsigned, T v, int by) {
    return host::shuffle(v, host::lane() + by < 32 ? host::lane() + by : host::lane());
}
template <class T> T __shfl_up_sync(unsigned, T v, int by) {
    return host::shuffle(v, host::lane() >= (unsigned)by ? host::lane() - by : host::lane());
}
inline unsigned __ballot_sync(unsigned, int predicate) {
    unsigned bits = 0;
    for (unsigned i = 0; i < 32; ++i) bits |= (unsigned)(host::shuffle(predicate, i) != 0) << i;
    return bits;
}
template <class T> T atomicAdd(T* at, T value) { T old = *at; *at += value; return old; }
inline int atomicCAS(int* at, int compare, int value) { int old = *at; if (old == compare) *at = value; return old; }

inline unsigned __float_as_uint(float x) { unsigned bits; std::memcpy(&bits, &x, 4); return bits; }
inline float __uint_as_float(unsigned bits) { float x; std::memcpy(&x, &bits, 4); return x; }
// What is inline PTX on a device: _Float16 rounds as cvt.rn does.
#define HALF_ON_HOST                                                                                              \
    static unsigned short half_bits(float x) { _Float16 h = (_Float16)x; unsigned short b; std::memcpy(&b, &h, 2); return b; } \
    static float half_value(unsigned short b) { _Float16 h; std::memcpy(&h, &b, 2); return (float)h; }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
#define __expf expf
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
inline float normcdff(float x) { return (float)normcdf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
using std::min;
using std::max;
