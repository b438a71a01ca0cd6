// Optimizer steps over the flat parameters (backend/kernels/optim.py has the equations): one kernel, one pass each. The rate
// and the step number are read from the device where there is a pointer, so that a captured step sees the current ones.
#include "packs.cuh"

// The loss scale of half precision (backend/kernels/scaling.py): scale, overflow, steps since it changed, steps skipped.
__device__ inline bool skips(const float* scaler) { return scaler && scaler[1] > 0; }

template <class T>
__device__ void sgd_step(
    T* weight, const T* grad, T* velocity, long long n, const T* lr_at, T lr, T momentum, int nesterov, T decay,
    const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(weight, grad, velocity), n, [=](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        auto w = pack_at<W>(weight, i), v = velocity ? pack_at<W>(velocity, i) : w;
        const auto d = pack_at<W>(grad, i);
        for (int k = 0; k < W; ++k) {
            T g = d.at[k] + decay * w.at[k];
            if (velocity) {
                v.at[k] = momentum * v.at[k] + g;
                g = nesterov ? g + momentum * v.at[k] : v.at[k];
            }
            w.at[k] -= rate * g;
        }
        if (velocity) put_pack<W>(velocity, i, v);
        put_pack<W>(weight, i, w);
    });
}

// x^n for n >= 0 by squaring: two products for each of the number's bits. Every block waits for it; the library's pow, for
// any exponent, is some hundred operations in double, of which many GPUs do few at a time.
__device__ inline double power(double x, long long n) {
    double result = 1;
    for (; n > 0; n >>= 1, x *= x) {
        if (n & 1) result *= x;
    }
    return result;
}

template <class T>
__device__ void adam_step(
    T* weight, const T* grad, T* mean, T* square, long long n, const long long* step_at, long long step,
    const T* lr_at, T lr, double beta1, double beta2, T eps, T decay, int decoupled,
    const float* scaler
) {
    if (skips(scaler)) return;
    __shared__ double corrections[2];
    if (threadIdx.x < 2) {  // side by side
        const long long t = counted(step_at, step) - (scaler ? (long long)scaler[3] : 0);
        corrections[threadIdx.x] = 1 - power(threadIdx.x ? beta2 : beta1, t);
    }
    __syncthreads();
    const T rate = current(lr_at, lr), first = (T)corrections[0], second = (T)corrections[1];
    const T kept1 = (T)beta1, kept2 = (T)beta2, new1 = (T)(1 - beta1), new2 = (T)(1 - beta2);
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(weight, grad, mean, square), n, [=](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        auto w = pack_at<W>(weight, i), m = pack_at<W>(mean, i), v = pack_at<W>(square, i);
        const auto d = pack_at<W>(grad, i);
        for (int k = 0; k < W; ++k) {
            T g = d.at[k];
            if (decoupled) w.at[k] *= 1 - rate * decay;
            else g += decay * w.at[k];
            m.at[k] = kept1 * m.at[k] + new1 * g;
            v.at[k] = kept2 * v.at[k] + new2 * (g * g);
            w.at[k] -= rate * (m.at[k] / first) / (sqrt(v.at[k] / second) + eps);
        }
        put_pack<W>(mean, i, m);
        put_pack<W>(square, i, v);
        put_pack<W>(weight, i, w);
    });
}

template <class T>
__device__ void adagrad_step(
    T* weight, const T* grad, T* total, long long n, const T* lr_at, T lr, T eps, T decay,
    const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(weight, grad, total), n, [=](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        auto w = pack_at<W>(weight, i), s = pack_at<W>(total, i);
        const auto d = pack_at<W>(grad, i);
        for (int k = 0; k < W; ++k) {
            const T g = d.at[k] + decay * w.at[k];
            s.at[k] += g * g;
            w.at[k] -= rate * g / (sqrt(s.at[k]) + eps);
        }
        put_pack<W>(total, i, s);
        put_pack<W>(weight, i, w);
    });
}

template <class T>
__device__ void rmsprop_step(
    T* weight, const T* grad, T* average, T* velocity, long long n, const T* lr_at, T lr, T alpha, T share, T eps,
    T momentum, T decay, const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(weight, grad, average, velocity), n, [=](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        auto w = pack_at<W>(weight, i), s = pack_at<W>(average, i), v = velocity ? pack_at<W>(velocity, i) : w;
        const auto d = pack_at<W>(grad, i);
        for (int k = 0; k < W; ++k) {
            const T g = d.at[k] + decay * w.at[k];
            s.at[k] = alpha * s.at[k] + share * (g * g);
            T update = g / (sqrt(s.at[k]) + eps);
            if (velocity) {
                update += momentum * v.at[k];
                v.at[k] = update;
            }
            w.at[k] -= rate * update;
        }
        put_pack<W>(average, i, s);
        if (velocity) put_pack<W>(velocity, i, v);
        put_pack<W>(weight, i, w);
    });
}

// The same steps of many models, one along y: a row of each array, the row's rate, and its settings as doubles, in the order
// of backend/kernels/optim.py. What a step does with blocks along x it does there.
template <class T>
__device__ T* row_of(T* rows, long long length) { return rows ? rows + blockIdx.y * length : rows; }

template <class T>
__device__ void sgd_step_each(
    T* weight, const T* grad, T* velocity, long long length, long long n, const T* lr, const double* settings
) {
    const double* own = settings + blockIdx.y * 4;
    sgd_step<T>(
        row_of(weight, length), row_of(grad, length), own[0] ? row_of(velocity, length) : nullptr, n, lr + blockIdx.y,
        (T)0, (T)own[1], own[2] != 0, (T)own[3], nullptr
    );
}

template <class T>
__device__ void adam_step_each(
    T* weight, const T* grad, T* mean, T* square, long long length, long long n, const long long* step_at, long long step,
    const T* lr, const double* settings
) {
    const double* own = settings + blockIdx.y * 5;
    adam_step<T>(
        row_of(weight, length), row_of(grad, length), row_of(mean, length), row_of(square, length), n, step_at, step,
        lr + blockIdx.y, (T)0, own[0], own[1], (T)own[2], (T)own[3], own[4] != 0, nullptr
    );
}

template <class T>
__device__ void adagrad_step_each(
    T* weight, const T* grad, T* total, long long length, long long n, const T* lr, const double* settings
) {
    const double* own = settings + blockIdx.y * 2;
    adagrad_step<T>(
        row_of(weight, length), row_of(grad, length), row_of(total, length), n, lr + blockIdx.y, (T)0, (T)own[0],
        (T)own[1], nullptr
    );
}

template <class T>
__device__ void rmsprop_step_each(
    T* weight, const T* grad, T* average, T* velocity, long long length, long long n, const T* lr, const double* settings
) {
    const double* own = settings + blockIdx.y * 5;
    rmsprop_step<T>(
        row_of(weight, length), row_of(grad, length), row_of(average, length),
        own[0] ? row_of(velocity, length) : nullptr, n, lr + blockIdx.y, (T)0, (T)own[1], (T)(1 - own[1]), (T)own[2],
        (T)own[3], (T)own[4], nullptr
    );
}

template <class T>
__device__ void average_step(T* average, const T* weight, long long n, T decay, T share) {
    map<2>([=](T a, T w) { return decay * a + share * w; }, n, average, average, weight);
}

// Sums of squares, one a block, always in one order.
template <class T>
__device__ void squares(const T* grad, double* parts, long long n) {
    __shared__ double sums[32];
    double sum = 0;
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(grad), n, [&](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        const auto g = pack_at<W>(grad, i);
        for (int k = 0; k < W; ++k) sum += (double)g.at[k] * (double)g.at[k];
    });
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// Every block adds the parts by itself and gets the same bits.
template <class T>
__device__ void clip(T* grad, const double* parts, T* norm, long long n, int count, T largest) {
    __shared__ double sums[32];
    const T length = (T)sqrt(block_sum(share_of_sum(parts, count), sums));
    if (blockIdx.x == 0 && threadIdx.x == 0) *norm = length;
    const T factor = largest / (length + (T)1e-6);
    if (factor >= 1) return;  // false for NaN, which then spreads
    map<4>([=](T g) { return g * factor; }, n, grad, grad);
}

// grad += l1 m sign(w) + l2 m w; the penalty's value in parts, one a block.
template <class T>
__device__ void penalty(T* grad, const T* weight, const T* mask, double* parts, long long n, T l1, T l2) {
    __shared__ double sums[32];
    double sum = 0;
    constexpr int N = PACKED<T>;
    in_packs<N>(packable<N>(grad, weight, mask), n, [&](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        auto g = pack_at<W>(grad, i);
        const auto weights = pack_at<W>(weight, i), masks = pack_at<W>(mask, i);
        for (int k = 0; k < W; ++k) {
            const T w = weights.at[k] * masks.at[k];
            const T sign = w > 0 ? (T)1 : (w < 0 ? (T)-1 : w);
            g.at[k] += l1 * sign + l2 * w;
            sum += (double)l1 * (double)(w < 0 ? -w : w) + 0.5 * (double)l2 * (double)w * (double)w;
        }
        put_pack<W>(grad, i, g);
    });
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class T>
__device__ void total(const double* parts, T* value, int count) {
    __shared__ double sums[32];
    const double sum = block_sum(share_of_sum(parts, count), sums);
    if (threadIdx.x == 0) *value = (T)sum;
}

FOR_TYPES(sgd_step,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ velocity, long long n, const T* lr_at, T lr,
     T momentum, int nesterov, T decay, const float* scaler),
    (weight, grad, velocity, n, lr_at, lr, momentum, nesterov, decay, scaler))
FOR_TYPES(adam_step,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ mean, T* __restrict__ square, long long n,
     const long long* step_at, long long step, const T* lr_at, T lr, double beta1, double beta2, T eps, T decay,
     int decoupled, const float* scaler),
    (weight, grad, mean, square, n, step_at, step, lr_at, lr, beta1, beta2, eps, decay, decoupled, scaler))
FOR_TYPES(adagrad_step,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ total, long long n, const T* lr_at, T lr, T eps,
     T decay, const float* scaler),
    (weight, grad, total, n, lr_at, lr, eps, decay, scaler))
FOR_TYPES(rmsprop_step,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ average, T* __restrict__ velocity, long long n,
     const T* lr_at, T lr, T alpha, T share, T eps, T momentum, T decay, const float* scaler),
    (weight, grad, average, velocity, n, lr_at, lr, alpha, share, eps, momentum, decay, scaler))
FOR_TYPES(sgd_step_each,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ velocity, long long length, long long n,
     const T* __restrict__ lr, const double* __restrict__ settings),
    (weight, grad, velocity, length, n, lr, settings))
FOR_TYPES(adam_step_each,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ mean, T* __restrict__ square, long long length,
     long long n, const long long* step_at, long long step, const T* __restrict__ lr,
     const double* __restrict__ settings),
    (weight, grad, mean, square, length, n, step_at, step, lr, settings))
FOR_TYPES(adagrad_step_each,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ total, long long length, long long n,
     const T* __restrict__ lr, const double* __restrict__ settings),
    (weight, grad, total, length, n, lr, settings))
FOR_TYPES(rmsprop_step_each,
    (T* __restrict__ weight, const T* __restrict__ grad, T* __restrict__ average, T* __restrict__ velocity,
     long long length, long long n, const T* __restrict__ lr, const double* __restrict__ settings),
    (weight, grad, average, velocity, length, n, lr, settings))
FOR_TYPES(average_step,
    (T* __restrict__ average, const T* __restrict__ weight, long long n, T decay, T share),
    (average, weight, n, decay, share))
FOR_TYPES(squares, (const T* __restrict__ grad, double* __restrict__ parts, long long n), (grad, parts, n))
FOR_TYPES(clip,
    (T* __restrict__ grad, const double* __restrict__ parts, T* __restrict__ norm, long long n, int count, T largest),
    (grad, parts, norm, n, count, largest))
FOR_TYPES(penalty,
    (T* __restrict__ grad, const T* __restrict__ weight, const T* __restrict__ mask, double* __restrict__ parts,
     long long n, T l1, T l2),
    (grad, weight, mask, parts, n, l1, l2))
FOR_TYPES(total, (const double* parts, T* value, int count), (parts, value, count))
