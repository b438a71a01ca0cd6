// Activations and sums, element by element (backend/kernels/activation.py has the equations). Bound by memory: each is one
// pass, every element read and written once.
#include "activation.cuh"

template <class T>
__device__ void relu(const T* x, T* y, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = rectified(x[i]);
}

template <class T>
__device__ void relu_grad(const T* dout, const T* y, T* dx, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) dx[i] = y[i] > 0 ? dout[i] : (T)0;
}

template <class T>
__device__ void add(const T* a, const T* b, T* y, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = a[i] + b[i];
}

template <class T>
__device__ void add_relu(const T* a, const T* b, T* y, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = rectified(a[i] + b[i]);
}

constexpr double DENSITY = 0.39894228040143267794;  // 1 / sqrt(2 pi)

template <class T>
__device__ void gelu_tanh(const T* x, T* y, long long n) {
    using R = real<T>;
    for (long long i = first_element(); i < n; i += element_stride()) {
        const R v = x[i];
        y[i] = (R)0.5 * v * (1 + tanh((R)GELU_SCALE * (v + (R)GELU_CUBIC * v * v * v)));
    }
}

template <class T>
__device__ void gelu_tanh_grad(const T* dout, const T* x, T* dx, long long n) {
    for (long long i = first_element(); i < n; i += element_stride()) dx[i] = dout[i] * gelu_tanh_slope<real<T>>(x[i]);
}

// The normal distribution's function, with all its digits also where it is near 0.
__device__ inline float distribution(float x) { return normcdff(x); }
__device__ inline double distribution(double x) { return normcdf(x); }

template <class T>
__device__ void gelu(const T* x, T* y, long long n) {
    using R = real<T>;
    for (long long i = first_element(); i < n; i += element_stride()) {
        const R v = x[i];
        y[i] = v * distribution(v);
    }
}

template <class T>
__device__ void gelu_grad(const T* dout, const T* x, T* dx, long long n) {
    using R = real<T>;
    for (long long i = first_element(); i < n; i += element_stride()) {
        const R v = x[i];
        const R density = exp((R)-0.5 * v * v) * (R)DENSITY;
        dx[i] = dout[i] * (distribution(v) + v * density);
    }
}

FOR_ALL_TYPES(relu, (const T* x, T* y, long long n), (x, y, n))
FOR_ALL_TYPES(relu_grad, (const T* dout, const T* y, T* dx, long long n), (dout, y, dx, n))
FOR_ALL_TYPES(add, (const T* a, const T* b, T* y, long long n), (a, b, y, n))
FOR_ALL_TYPES(add_relu, (const T* a, const T* b, T* y, long long n), (a, b, y, n))
FOR_ALL_TYPES(gelu_tanh, (const T* x, T* y, long long n), (x, y, n))
FOR_ALL_TYPES(gelu_tanh_grad, (const T* dout, const T* x, T* dx, long long n), (dout, x, dx, n))
FOR_ALL_TYPES(gelu, (const T* x, T* y, long long n), (x, y, n))
FOR_ALL_TYPES(gelu_grad, (const T* dout, const T* x, T* dx, long long n), (dout, x, dx, n))
