// Softmax over the keys of each query, forward and backward (backend/kernels/attention.py): a warp a row. The products before
// and after are cuBLASLt's.
#include "common.cuh"

// scores (rows, keys) becomes the weights, in place; a row that sees no key gets zeros. Row r is query r % steps. Where
// there are factors of dropout, `used` becomes the weights times them.
template <class T>
__device__ void attention_softmax(
    T* scores, const unsigned char* visible, const T* kept, T* used, long long rows, int steps, int keys, T scale,
    int causal
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;  // the whole warp
    T* s = scores + row * keys;
    const unsigned char* seen = visible ? visible + row * keys : visible;
    const int last = causal ? (int)(row % steps) + keys - steps : keys - 1;
    const T lowest = -(T)(1e300 * 1e300);
    T top = lowest;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const T value = k <= last && (!seen || seen[k]) ? s[k] * scale : lowest;
        s[k] = value;
        top = larger(top, value);
    }
    top = warp_max(top);
    if (top == lowest) top = 0;
    T total = 0;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const T e = exp(s[k] - top);
        s[k] = e;
        total += e;
    }
    total = warp_sum(total);
    const T factor = total == 0 ? (T)1 : 1 / total;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const T weight = s[k] * factor;
        s[k] = weight;
        if (kept) used[row * keys + k] = weight * kept[row * keys + k];
    }
}

// dp (rows, keys) becomes p (dp kept - sum dp kept p) scale, in place, and `used` p kept where there are factors.
template <class T>
__device__ void attention_softmax_grad(
    T* dp, const T* p, const T* kept, T* used, long long rows, int keys, T scale
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    T* d = dp + row * keys;
    const T* weight = p + row * keys;
    const T* keep = kept ? kept + row * keys : kept;
    T sum = 0;
    for (int k = threadIdx.x; k < keys; k += 32) {
        if (keep) {
            d[k] *= keep[k];
            used[row * keys + k] = weight[k] * keep[k];
        }
        sum += d[k] * weight[k];
    }
    sum = warp_sum(sum);
    for (int k = threadIdx.x; k < keys; k += 32) d[k] = weight[k] * (d[k] - sum) * scale;
}

FOR_TYPES(attention_softmax,
    (T* scores, const unsigned char* visible, const T* kept, T* used, long long rows, int steps, int keys, T scale,
     int causal),
    (scores, visible, kept, used, rows, steps, keys, scale, causal))
FOR_TYPES(attention_softmax_grad,
    (T* dp, const T* p, const T* kept, T* used, long long rows, int keys, T scale),
    (dp, p, kept, used, rows, keys, scale))
