// Several elements in one access to memory. Of 16 bytes a thread asks for four times as many on a way to memory as of a
// float's four, with a quarter of the instructions; the threads that a multiprocessor holds then keep its memory busy.
#pragma once

#include "common.cuh"

template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack { T at[N]; };

// Elements of T in 16 bytes.
template <class T> constexpr int PACKED = 16 / sizeof(T);

// Whether packs of N may be read and written there. Null pointers may.
template <int N, class... T>
__device__ bool packable(const T*... pointers) {
    return ((((unsigned long long)pointers % (sizeof(T) * N)) == 0) && ...);
}

// The pack that starts at an element.
template <int N, class T>
__device__ Pack<T, N> pack_from(const T* element) { return *reinterpret_cast<const Pack<T, N>*>(element); }

template <class T, int N>
__device__ void put_pack_to(T* element, Pack<T, N> value) { *reinterpret_cast<Pack<T, N>*>(element) = value; }

// One of an array of packs.
template <int N, class T>
__device__ Pack<T, N> pack_at(const T* pointer, long long pack) { return pack_from<N>(pointer + pack * N); }

template <int N, class T>
__device__ void put_pack(T* pointer, long long pack, Pack<T, N> value) { put_pack_to(pointer + pack * N, value); }

template <class T, class F, int N, class... In>
__device__ Pack<T, N> mapped(F f, const Pack<In, N>&... in) {
    Pack<T, N> out;
    for (int k = 0; k < N; ++k) out.at[k] = f((real<In>)in.at[k]...);
    return out;
}

// y[i] = f(in[i] ...) for all i < n: in packs as far as all the arrays lie so, else one by one. Where there are ROUNDS packs
// a thread, all of them are asked for before the first is written. An array that is read may be y itself, but not overlap it.
template <int ROUNDS, class F, class T, class... In>
__device__ void map(F f, long long n, T* y, const In*... in) {
    constexpr int N = PACKED<T>;
    const long long stride = element_stride();
    long long done = 0;
    if (packable<N>(y, in...)) {
        const long long packs = n / N;
        long long pack = first_element();
        for (; pack + (ROUNDS - 1) * stride < packs; pack += ROUNDS * stride) {
            Pack<T, N> out[ROUNDS];
            for (int k = 0; k < ROUNDS; ++k) out[k] = mapped<T>(f, pack_at<N>(in, pack + k * stride)...);
            for (int k = 0; k < ROUNDS; ++k) put_pack<N>(y, pack + k * stride, out[k]);
        }
        if (ROUNDS > 1) {
            for (; pack < packs; pack += stride) put_pack<N>(y, pack, mapped<T>(f, pack_at<N>(in, pack)...));
        }
        done = packs * N;
    }
#pragma unroll 1
    for (long long i = done + first_element(); i < n; i += stride) y[i] = f((real<In>)in[i]...);
}

// How wide a body's packs are, as a type.
template <int N> struct Width { static constexpr int value = N; };

// body(Width<N>(), i) for each pack i of n elements where `packs` says that all arrays lie so, then body(Width<1>(), i) for
// each element i that is left.
template <int N, class Body>
__device__ void in_packs(bool packs, long long n, Body body) {
    const long long stride = element_stride(), done = packs ? n / N * N : 0;
    for (long long pack = first_element(); pack < done / N; pack += stride) body(Width<N>(), pack);
#pragma unroll 1
    for (long long i = done + first_element(); i < n; i += stride) body(Width<1>(), i);
}
