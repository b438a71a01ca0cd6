// Softmax cross-entropy with its gradient (backend/kernels/loss.py has the equations): a warp a row; the last block to have
// done its rows adds the rows' losses in order.
#include "common.cuh"
#include "last_block.cuh"

constexpr int HELD = 4;

// Of a row whose logits a lane may hold, all asked for at once: up to HELD * 32 classes; else each pass reads them again.
template <bool HOLDS, class T>
__device__ void cross_entropy_row(
    const T* logits, const long long* labels, T* grad, T* losses, long long row, long long rows, int classes, T smoothing
) {
    const int lane = threadIdx.x % 32;
    const T* z = logits + row * classes;
    const long long label = labels[row];
    T held[HELD];
    for (int k = 0; k < HELD; ++k) held[k] = HOLDS && lane + k * 32 < classes ? z[lane + k * 32] : (T)0;
    T top = z[0];
    const auto each = [&](auto body) {  // of the lane's classes
        if (HOLDS) {
            for (int k = 0; k < HELD; ++k) {
                if (lane + k * 32 < classes) body(lane + k * 32, held[k]);
            }
        } else {
            for (int c = lane; c < classes; c += 32) body(c, z[c]);
        }
    };
    each([&](int, T v) { top = larger(top, v); });
    top = warp_max(top);
    T total = 0, shifted = 0;
    each([&](int, T v) {
        total += exp(v - top);
        shifted += v - top;
    });
    total = warp_sum(total);
    shifted = warp_sum(shifted);
    if (lane == 0) {
        const T log_total = log(total);
        // A label that is no class is not read for: its loss is no number, which the training loop finds and says.
        const bool known = label >= 0 && label < classes;
        const T nothing = total - total;
        const T loss = known ? log_total - (z[label] - top) : nothing / nothing;
        // Without smoothing the sum stays out: 0 times the infinity of a class that is ruled out would be NaN.
        losses[row] = smoothing ? (1 - smoothing) * loss + smoothing * (log_total - shifted / classes) : loss;
    }
    if (!grad) return;
    const T scale = 1 / total, share = smoothing / classes, count = (T)rows;
    each([&](int c, T v) {
        grad[row * classes + c] = (exp(v - top) * scale - share - (c == label ? 1 - smoothing : (T)0)) / count;
    });
}

template <class T>
__device__ void cross_entropy(
    const T* logits, const long long* labels, T* grad, T* losses, int* arrived, T* mean, long long rows, int classes,
    T smoothing
) {
    const long long row = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row < rows) {
        if (classes <= HELD * 32) cross_entropy_row<true>(logits, labels, grad, losses, row, rows, classes, smoothing);
        else cross_entropy_row<false>(logits, labels, grad, losses, row, rows, classes, smoothing);
    }
    if (!last_to_arrive(arrived, gridDim.x)) return;
    __shared__ double sums[32];
    const double sum = block_sum(share_of_sum(losses, rows), sums);
    if (threadIdx.x == 0) *mean = (T)(sum / rows);
}

// `losses` is written by one block and read by another: no __restrict__, which would let a read move over the barrier.
FOR_TYPES(
    cross_entropy,
    (const T* __restrict__ logits, const long long* __restrict__ labels, T* __restrict__ grad, T* losses, int* arrived,
     T* __restrict__ mean, long long rows, int classes, T smoothing),
    (logits, labels, grad, losses, arrived, mean, rows, classes, smoothing))

// Of replicas, one along y: with labels of its own or, where `apart` is 0, those of all; by its own smoothing, where there
// is a pointer.
template <class T>
__device__ void cross_entropy_each(
    const T* logits, const long long* labels, T* grad, T* losses, int* arrived, T* means, long long rows, int classes,
    int apart, const T* smoothing_at, T smoothing
) {
    const long long replica = blockIdx.y, first = replica * rows;
    cross_entropy<T>(
        logits + first * classes, apart ? labels + first : labels, grad ? grad + first * classes : grad, losses + first,
        arrived + replica, means + replica, rows, classes, smoothing_at ? smoothing_at[replica] : smoothing
    );
}
FOR_TYPES(
    cross_entropy_each,
    (const T* __restrict__ logits, const long long* __restrict__ labels, T* __restrict__ grad, T* losses, int* arrived,
     T* __restrict__ means, long long rows, int classes, int apart, const T* __restrict__ smoothing_at, T smoothing),
    (logits, labels, grad, losses, arrived, means, rows, classes, apart, smoothing_at, smoothing))
