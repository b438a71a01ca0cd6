// Between the 16 bits that a model computes with and the float32 that its optimizer keeps (backend/kernels/scaling.py).
// The scaler: scale, whether this step overflowed, steps since the scale changed, steps skipped.
#include "packs.cuh"

// All threads that find an infinity or NaN write the same 1: in whatever order, the outcome is the same.
template <class T>
__device__ void unscale(const T* half, float* grad, float* scaler, long long n, int add) {
    const float scale = scaler ? scaler[0] : 1;
    bool finite = true;
    constexpr int N = PACKED<float>;
    in_packs<N>(packable<N>(half, grad), n, [&](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        const auto values = pack_at<W>(half, i);
        auto sums = add ? pack_at<W>(grad, i) : Pack<float, W>{};
        for (int k = 0; k < W; ++k) {
            const float g = values.at[k];
            finite &= g - g == 0;
            sums.at[k] += g / scale;
        }
        put_pack<W>(grad, i, sums);
    });
    if (scaler && !finite) scaler[1] = 1;
}

template <class T>
__device__ void refresh_half_weights(
    const float* weight, T* half, float* scaler, long long n, float growth, float backoff, float interval
) {
    map<2>([](float w) { return w; }, n, half, weight);
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
    map<4>([](float v) { return v; }, n, y, x);
}

template <class T>
__device__ void narrow(const float* x, T* y, long long n) {
    map<2>([](float v) { return v; }, n, y, x);
}

FOR_HALVES(widen, (const T* __restrict__ x, float* __restrict__ y, long long n), (x, y, n))
FOR_HALVES(narrow, (const float* __restrict__ x, T* __restrict__ y, long long n), (x, y, n))
FOR_HALVES(unscale,
    (const T* __restrict__ half, float* __restrict__ grad, float* __restrict__ scaler, long long n, int add),
    (half, grad, scaler, n, add))
FOR_HALVES(refresh_half_weights,
    (const float* __restrict__ weight, T* __restrict__ half, float* __restrict__ scaler, long long n, float growth,
     float backoff, float interval),
    (weight, half, scaler, n, growth, backoff, interval))
