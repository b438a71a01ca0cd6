// Activations of one number and their slopes, as activations alone and those in other kernels share them.
#pragma once

#include "common.cuh"

constexpr double GELU_SCALE = 0.79788456080286535588, GELU_CUBIC = 0.044715;  // sqrt(2 / pi)

// NaN goes through a ReLU, so that a net that has diverged says so.
template <class T>
__device__ T rectified(T x) { return x > 0 || x != x ? x : (T)0; }

template <class T>
__device__ T gelu_tanh_slope(T x) {
    const T t = tanh((T)GELU_SCALE * (x + (T)GELU_CUBIC * x * x * x));
    const T slope = (T)GELU_SCALE * (1 + 3 * (T)GELU_CUBIC * x * x);
    return (T)0.5 * (1 + t) + (T)0.5 * x * (1 - t * t) * slope;
}
