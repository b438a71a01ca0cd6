// Sums down the columns of a matrix by rows: parts in one kernel, their total in another, always in one order.
#include "common.cuh"

template <class T>
__device__ void column_parts(const T* x, real<T>* partial, long long rows, int columns) {
    __shared__ real<T> sums[8][33];
    const int column = blockIdx.x * 32 + threadIdx.x;
    real<T> sum = 0;
    if (column < columns) {
        const long long step = (long long)gridDim.y * 8;
        for (long long row = (long long)blockIdx.y * 8 + threadIdx.y; row < rows; row += step) sum += x[row * columns + column];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < columns) {
        real<T> total = 0;
        for (int i = 0; i < 8; ++i) total += sums[i][threadIdx.x];
        partial[(long long)blockIdx.y * columns + column] = total;
    }
}

template <class T>
__device__ void column_total(const real<T>* partial, T* out, int columns, int parts) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    real<T> total = 0;
    for (int i = 0; i < parts; ++i) total += partial[(long long)i * columns + column];
    out[column] = total;
}

FOR_ALL_TYPES(column_parts, (const T* x, real<T>* partial, long long rows, int columns), (x, partial, rows, columns))
FOR_ALL_TYPES(column_total, (const real<T>* partial, T* out, int columns, int parts), (partial, out, columns, parts))
