// Softmax over the keys of each query, forward and backward (backend/kernels/attention.py): a warp a row. The products before
// and after are cuBLASLt's.
#include "common.cuh"

// Of scores (rows, keys), which are written over, weights, which may be the same array: a row that sees no key gets zeros. Row r
// is query r % steps. A mask is `visible`, or `added` to the scores. Where there are factors of dropout, `used` becomes the
// weights times them.
template <class T>
__device__ void attention_softmax(
    real<T>* scores, T* weights, const unsigned char* visible, const real<T>* added, const real<T>* kept, T* used,
    long long rows, int steps, int keys, real<T> scale, int causal
) {
    using R = real<T>;
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;  // the whole warp
    R* s = scores + row * keys;
    const unsigned char* seen = visible ? visible + row * keys : visible;
    const R* bias = added ? added + row * keys : added;
    const int last = causal ? (int)(row % steps) + keys - steps : keys - 1;
    const R lowest = -(R)(1e300 * 1e300);
    R top = lowest;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const R value = k <= last && (!seen || seen[k]) ? s[k] * scale + (bias ? bias[k] : (R)0) : lowest;
        s[k] = value;
        top = larger(top, value);
    }
    top = warp_max(top);
    if (top == lowest) top = 0;
    R total = 0;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const R e = exp(s[k] - top);
        s[k] = e;
        total += e;
    }
    total = warp_sum(total);
    const R factor = total == 0 ? (R)1 : 1 / total;
    for (int k = threadIdx.x; k < keys; k += 32) {
        const R weight = s[k] * factor;
        weights[row * keys + k] = weight;
        if (kept) used[row * keys + k] = weight * kept[row * keys + k];
    }
}

// Of dp (rows, keys), which is written over, ds = p (dp kept - sum dp kept p) scale, which may be the same array; and `used` p kept where there are factors.
template <class T>
__device__ void attention_softmax_grad(
    real<T>* dp, T* ds, const T* p, const real<T>* kept, T* used, long long rows, int keys, real<T> scale
) {
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    real<T>* d = dp + row * keys;
    const T* weight = p + row * keys;
    const real<T>* keep = kept ? kept + row * keys : kept;
    real<T> sum = 0;
    for (int k = threadIdx.x; k < keys; k += 32) {
        if (keep) {
            d[k] *= keep[k];
            used[row * keys + k] = weight[k] * keep[k];
        }
        sum += d[k] * weight[k];
    }
    sum = warp_sum(sum);
    for (int k = threadIdx.x; k < keys; k += 32) ds[row * keys + k] = weight[k] * (d[k] - sum) * scale;
}

FOR_ALL_TYPES(attention_softmax,
    (real<T>* scores, T* weights, const unsigned char* visible, const real<T>* added, const real<T>* kept, T* used,
     long long rows, int steps, int keys, real<T> scale, int causal),
    (scores, weights, visible, added, kept, used, rows, steps, keys, scale, causal))
FOR_ALL_TYPES(attention_softmax_grad,
    (real<T>* dp, T* ds, const T* p, const real<T>* kept, T* used, long long rows, int keys, real<T> scale),
    (dp, ds, p, kept, used, rows, keys, scale))
