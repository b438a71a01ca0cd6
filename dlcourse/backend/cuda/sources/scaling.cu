// Between the 16 bits that a model computes with and the float32 that its optimizer keeps (backend/kernels/scaling.py).
// The scaler: scale, whether this step overflowed, steps since the scale changed, steps skipped.
#include "common.cuh"

// All threads that find an infinity or NaN write the same 1: in whatever order, the outcome is the same.
template <class T>
__device__ void unscale(const T* half, float* grad, float* scaler, long long n, int add) {
    const float scale = scaler ? scaler[0] : 1;
    for (long long i = first_element(); i < n; i += element_stride()) {
        const float g = half[i];
        if (scaler && !(g - g == 0)) scaler[1] = 1;
        grad[i] = (add ? grad[i] : 0) + g / scale;
    }
}

template <class T>
__device__ void refresh_half_weights(
    const float* weight, T* half, float* scaler, long long n, float growth, float backoff, float interval
) {
    for (long long i = first_element(); i < n; i += element_stride()) half[i] = weight[i];
    if (!scaler || first_element() != 0) return;
    const bool overflow = scaler[1] > 0;
    const float since = overflow ? 0 : scaler[2] + 1;
    const bool grown = since >= interval;
    scaler[0] *= overflow ? backoff : grown ? growth : 1;
    scaler[3] += scaler[1];
    scaler[1] = 0;
    scaler[2] = grown ? 0 : since;
}

template <class T>
__device__ void widen(const T* x, float* y, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = x[i];
}

template <class T>
__device__ void narrow(const float* x, T* y, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = x[i];
}

FOR_HALVES(widen, (const T* x, float* y, long long n), (x, y, n))
FOR_HALVES(narrow, (const float* x, T* y, long long n), (x, y, n))
FOR_HALVES(unscale, (const T* half, float* grad, float* scaler, long long n, int add), (half, grad, scaler, n, add))
FOR_HALVES(refresh_half_weights,
    (const float* weight, T* half, float* scaler, long long n, float growth, float backoff, float interval),
    (weight, half, scaler, n, growth, backoff, interval))
