// Activations and sums, element by element (backend/kernels/activation.py has the equations). Bound by memory: each is one
// pass, every element read and written once. Those with much to compute have a pack at a time.
#include "activation.cuh"
#include "packs.cuh"

template <class T>
__device__ void relu(const T* x, T* y, long long n) {
    map<4>([](real<T> v) { return rectified(v); }, n, y, x);
}

template <class T>
__device__ void relu_grad(const T* dout, const T* y, T* dx, long long n) {
    map<2>([](real<T> d, real<T> v) { return v > 0 ? d : 0; }, n, dx, dout, y);
}

template <class T>
__device__ void add(const T* a, const T* b, T* y, long long n) {
    map<2>([](real<T> v, real<T> w) { return v + w; }, n, y, a, b);
}

template <class T>
__device__ void add_relu(const T* a, const T* b, T* y, long long n) {
    map<2>([](real<T> v, real<T> w) { return rectified(v + w); }, n, y, a, b);
}

// The smaller of s(x) and 1 - s(x), with the logistic s: it cannot overflow.
template <class R>
__device__ R smaller_logistic(R v) {
    const R tail = exp(-fabs(v));
    return tail / (1 + tail);
}

template <class R>
__device__ R logistic(R v) {
    const R smaller = smaller_logistic(v);
    return v >= 0 ? 1 - smaller : smaller;
}

template <class T>
__device__ void sigmoid(const T* x, T* y, long long n) {
    map<1>([](real<T> v) { return logistic(v); }, n, y, x);
}

template <class T>
__device__ void sigmoid_grad(const T* dout, const T* x, T* dx, long long n) {
    using R = real<T>;
    const auto slope = [](R v) { const R smaller = smaller_logistic(v); return smaller * (1 - smaller); };
    map<1>([=](R d, R v) { return d * slope(v); }, n, dx, dout, x);
}

template <class T>
__device__ void silu(const T* x, T* y, long long n) {
    map<1>([](real<T> v) { return v * logistic(v); }, n, y, x);
}

template <class T>
__device__ void silu_grad(const T* dout, const T* x, T* dx, long long n) {
    using R = real<T>;
    const auto slope = [](R v) { const R s = logistic(v); return s * (1 + v * (1 - s)); };
    map<1>([=](R d, R v) { return d * slope(v); }, n, dx, dout, x);
}

constexpr double DENSITY = 0.39894228040143267794;  // 1 / sqrt(2 pi)

template <class T>
__device__ void gelu_tanh(const T* x, T* y, long long n) {
    using R = real<T>;
    map<1>([](R v) { return (R)0.5 * v * (1 + tanh((R)GELU_SCALE * (v + (R)GELU_CUBIC * v * v * v))); }, n, y, x);
}

template <class T>
__device__ void gelu_tanh_grad(const T* dout, const T* x, T* dx, long long n) {
    map<1>([](real<T> d, real<T> v) { return d * gelu_tanh_slope(v); }, n, dx, dout, x);
}

// The normal distribution's function, with all its digits also where it is near 0.
__device__ inline float distribution(float x) { return normcdff(x); }
__device__ inline double distribution(double x) { return normcdf(x); }

template <class T>
__device__ void normal_cdf(const T* x, T* y, long long n) {
    map<1>([](real<T> v) { return distribution(v); }, n, y, x);
}

__device__ inline float error_function(float x) { return erff(x); }
__device__ inline double error_function(double x) { return erf(x); }

template <class T>
__device__ void error_function(const T* x, T* y, long long n) {
    map<1>([](real<T> v) { return error_function(v); }, n, y, x);
}

template <class T>
__device__ void gelu(const T* x, T* y, long long n) {
    map<1>([](real<T> v) { return v * distribution(v); }, n, y, x);
}

template <class T>
__device__ void gelu_grad(const T* dout, const T* x, T* dx, long long n) {
    using R = real<T>;
    const auto slope = [](R v) { return distribution(v) + v * (exp((R)-0.5 * v * v) * (R)DENSITY); };
    map<1>([=](R d, R v) { return d * slope(v); }, n, dx, dout, x);
}

// relu's two may be one array (relu_in_place).
FOR_ALL_TYPES(relu, (const T* x, T* y, long long n), (x, y, n))
FOR_ALL_TYPES(relu_grad,
    (const T* __restrict__ dout, const T* __restrict__ y, T* __restrict__ dx, long long n),
    (dout, y, dx, n))
FOR_ALL_TYPES(add, (const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, long long n), (a, b, y, n))
FOR_ALL_TYPES(add_relu,
    (const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y, long long n),
    (a, b, y, n))
FOR_ALL_TYPES(sigmoid, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_ALL_TYPES(sigmoid_grad,
    (const T* __restrict__ dout, const T* __restrict__ x, T* __restrict__ dx, long long n),
    (dout, x, dx, n))
FOR_ALL_TYPES(silu, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_ALL_TYPES(silu_grad,
    (const T* __restrict__ dout, const T* __restrict__ x, T* __restrict__ dx, long long n),
    (dout, x, dx, n))
FOR_ALL_TYPES(gelu_tanh, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_ALL_TYPES(gelu_tanh_grad,
    (const T* __restrict__ dout, const T* __restrict__ x, T* __restrict__ dx, long long n),
    (dout, x, dx, n))
FOR_ALL_TYPES(gelu, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_ALL_TYPES(gelu_grad,
    (const T* __restrict__ dout, const T* __restrict__ x, T* __restrict__ dx, long long n),
    (dout, x, dx, n))
FOR_ALL_TYPES(normal_cdf, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_ALL_TYPES(error_function, (const T* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
