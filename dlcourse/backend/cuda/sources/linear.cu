// Sums down the columns of a matrix row-major, the gradient of a bias: on its own, or of a gradient that goes through an
// activation on the way, in one pass over it. Always added in one order.
#include "activation.cuh"
#include "last_block.cuh"

// out[c] = sum over rows of element(place of (row, c)), each place visited once. A block of (32, 8) takes 32 columns and
// every gridDim.y-th group of 8 rows; its sums go to row blockIdx.y of partial (gridDim.y, columns), which the last block
// of these columns adds up. With one block for all rows neither partial nor arrived (a counter for each blockIdx.x) is used.
template <class T, class Element>
__device__ void sum_columns(Element element, real<T>* partial, int* arrived, T* out, long long rows, int columns) {
    __shared__ real<T> sums[8][33];
    const int column = blockIdx.x * 32 + threadIdx.x;
    const bool alone = gridDim.y == 1;
    real<T> sum = 0;
    if (column < columns) {
        const long long step = (long long)gridDim.y * 8;
        for (long long row = (long long)blockIdx.y * 8 + threadIdx.y; row < rows; row += step) sum += element(row * columns + column);
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        real<T> total = 0;
        for (int i = 0; i < 8; ++i) total += sums[i][threadIdx.x];
        if (alone) out[column] = total;
        else partial[(long long)blockIdx.y * columns + column] = total;
    }
    if (alone || !last_to_arrive(arrived + blockIdx.x, gridDim.y)) return;
    sum = 0;
    if (column < columns) {
        for (int part = threadIdx.y; part < gridDim.y; part += 8) sum += partial[(long long)part * columns + column];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        real<T> total = 0;
        for (int i = 0; i < 8; ++i) total += sums[i][threadIdx.x];
        out[column] = total;
    }
}

template <class T>
__device__ void column_sums(const T* x, real<T>* partial, int* arrived, T* out, long long rows, int columns) {
    sum_columns([=](long long i) { return (real<T>)x[i]; }, partial, arrived, out, rows, columns);
}

template <class T>
__device__ void relu_bias_grad(
    const T* dout, const T* y, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns
) {
    const auto masked = [=](long long i) {
        const real<T> value = y[i] > 0 ? (real<T>)dout[i] : (real<T>)0;
        dz[i] = value;
        return value;
    };
    sum_columns(masked, partial, arrived, dbias, rows, columns);
}

template <class T>
__device__ void gelu_tanh_bias_grad(
    const T* dout, const T* z, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns
) {
    const auto sloped = [=](long long i) {
        const real<T> value = (real<T>)dout[i] * gelu_tanh_slope<real<T>>(z[i]);
        dz[i] = value;
        return value;
    };
    sum_columns(sloped, partial, arrived, dbias, rows, columns);
}

FOR_ALL_TYPES(
    column_sums, (const T* x, real<T>* partial, int* arrived, T* out, long long rows, int columns),
    (x, partial, arrived, out, rows, columns))
FOR_ALL_TYPES(
    relu_bias_grad,
    (const T* dout, const T* y, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns),
    (dout, y, dz, partial, arrived, dbias, rows, columns))
FOR_ALL_TYPES(
    gelu_tanh_bias_grad,
    (const T* dout, const T* z, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns),
    (dout, z, dz, partial, arrived, dbias, rows, columns))
