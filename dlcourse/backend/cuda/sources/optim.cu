// Optimizer steps over the flat parameters (backend/kernels/optim.py has the equations): one kernel, one pass each. The rate
// and the step number are read from the device where there is a pointer, so that a captured step sees the current ones.
#include "common.cuh"

// The loss scale of half precision (backend/kernels/scaling.py): scale, overflow, steps since it changed, steps skipped.
__device__ inline bool skips(const float* scaler) { return scaler && scaler[1] > 0; }

template <class T>
__device__ void sgd_step(
    T* weight, const T* grad, T* velocity, long long n, const T* lr_at, T lr, T momentum, int nesterov, T decay,
    const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    for (long long i = first_element(); i < n; i += element_stride()) {
        T g = grad[i] + decay * weight[i];
        if (velocity) {
            const T v = momentum * velocity[i] + g;
            velocity[i] = v;
            g = nesterov ? g + momentum * v : v;
        }
        weight[i] -= rate * g;
    }
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
    for (long long i = first_element(); i < n; i += element_stride()) {
        T w = weight[i], g = grad[i];
        if (decoupled) w *= 1 - rate * decay;
        else g += decay * w;
        const T m = kept1 * mean[i] + new1 * g;
        const T v = kept2 * square[i] + new2 * (g * g);
        mean[i] = m;
        square[i] = v;
        weight[i] = w - rate * (m / first) / (sqrt(v / second) + eps);
    }
}

template <class T>
__device__ void adagrad_step(
    T* weight, const T* grad, T* total, long long n, const T* lr_at, T lr, T eps, T decay,
    const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    for (long long i = first_element(); i < n; i += element_stride()) {
        const T g = grad[i] + decay * weight[i], s = total[i] + g * g;
        total[i] = s;
        weight[i] -= rate * g / (sqrt(s) + eps);
    }
}

template <class T>
__device__ void rmsprop_step(
    T* weight, const T* grad, T* average, T* velocity, long long n, const T* lr_at, T lr, T alpha, T share, T eps,
    T momentum, T decay, const float* scaler
) {
    if (skips(scaler)) return;
    const T rate = current(lr_at, lr);
    for (long long i = first_element(); i < n; i += element_stride()) {
        const T g = grad[i] + decay * weight[i], s = alpha * average[i] + share * (g * g);
        average[i] = s;
        T update = g / (sqrt(s) + eps);
        if (velocity) {
            update += momentum * velocity[i];
            velocity[i] = update;
        }
        weight[i] -= rate * update;
    }
}

template <class T>
__device__ void average_step(T* average, const T* weight, long long n, T decay, T share) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        average[i] = decay * average[i] + share * weight[i];
    }
}

// Sums of squares, one a block, always in one order.
template <class T>
__device__ void squares(const T* grad, double* parts, long long n) {
    __shared__ double sums[32];
    double sum = 0;
    for (long long i = first_element(); i < n; i += element_stride()) sum += (double)grad[i] * (double)grad[i];
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// Every block adds the parts by itself and gets the same bits.
template <class T>
__device__ void clip(T* grad, const double* parts, T* norm, long long n, int count, T largest) {
    __shared__ double sums[32];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    const T length = (T)sqrt(block_sum(sum, sums));
    if (blockIdx.x == 0 && threadIdx.x == 0) *norm = length;
    const T factor = largest / (length + (T)1e-6);
    if (factor >= 1) return;  // false for NaN, which then spreads
    for (long long i = first_element(); i < n; i += element_stride()) grad[i] *= factor;
}

// grad += l1 m sign(w) + l2 m w; the penalty's value in parts, one a block.
template <class T>
__device__ void penalty(T* grad, const T* weight, const T* mask, double* parts, long long n, T l1, T l2) {
    __shared__ double sums[32];
    double sum = 0;
    for (long long i = first_element(); i < n; i += element_stride()) {
        const T w = weight[i] * mask[i];
        const T sign = w > 0 ? (T)1 : (w < 0 ? (T)-1 : w);
        grad[i] += l1 * sign + l2 * w;
        sum += (double)l1 * (double)(w < 0 ? -w : w) + 0.5 * (double)l2 * (double)w * (double)w;
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

template <class T>
__device__ void total(const double* parts, T* value, int count) {
    __shared__ double sums[32];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) *value = (T)sum;
}

FOR_TYPES(sgd_step,
    (T* weight, const T* grad, T* velocity, long long n, const T* lr_at, T lr, T momentum, int nesterov, T decay,
     const float* scaler),
    (weight, grad, velocity, n, lr_at, lr, momentum, nesterov, decay, scaler))
FOR_TYPES(adam_step,
    (T* weight, const T* grad, T* mean, T* square, long long n, const long long* step_at, long long step,
     const T* lr_at, T lr, double beta1, double beta2, T eps, T decay, int decoupled,
     const float* scaler),
    (weight, grad, mean, square, n, step_at, step, lr_at, lr, beta1, beta2, eps, decay, decoupled, scaler))
FOR_TYPES(adagrad_step,
    (T* weight, const T* grad, T* total, long long n, const T* lr_at, T lr, T eps, T decay,
     const float* scaler),
    (weight, grad, total, n, lr_at, lr, eps, decay, scaler))
FOR_TYPES(rmsprop_step,
    (T* weight, const T* grad, T* average, T* velocity, long long n, const T* lr_at, T lr, T alpha, T share, T eps,
     T momentum, T decay, const float* scaler),
    (weight, grad, average, velocity, n, lr_at, lr, alpha, share, eps, momentum, decay, scaler))
FOR_TYPES(average_step,
    (T* average, const T* weight, long long n, T decay, T share), (average, weight, n, decay, share))
FOR_TYPES(squares, (const T* grad, double* parts, long long n), (grad, parts, n))
FOR_TYPES(clip,
    (T* grad, const double* parts, T* norm, long long n, int count, T largest), (grad, parts, norm, n, count, largest))
FOR_TYPES(penalty,
    (T* grad, const T* weight, const T* mask, double* parts, long long n, T l1, T l2),
    (grad, weight, mask, parts, n, l1, l2))
FOR_TYPES(total, (const double* parts, T* value, int count), (parts, value, count))
