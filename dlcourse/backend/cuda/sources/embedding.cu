// The embedding's gradient without atomics (backend/kernels/embedding.py): the M rows of dout fall into segments; a block
// adds up, for one row of the table and one segment, the rows of dout that belong to it, in their order. Then the segments'
// sums are added in their order. Tables are small here, so reading all indices once for each of their rows costs little.
#include "common.cuh"

constexpr int TILE = 256;

template <class T>
__device__ void embedding_parts(
    const T* dout, const long long* indices, real<T>* parts, long long count, int width, int rows, long long segment
) {
    __shared__ long long tile[TILE];
    const int row = blockIdx.x, part = blockIdx.y;
    const long long begin = part * segment, end = begin + segment < count ? begin + segment : count;
    for (int base = 0; base < width; base += blockDim.x) {
        const int column = base + threadIdx.x;
        real<T> sum = 0;
        for (long long start = begin; start < end; start += TILE) {
            const int held = (int)(end - start < TILE ? end - start : TILE);
            __syncthreads();
            for (int i = threadIdx.x; i < held; i += blockDim.x) tile[i] = indices[start + i];
            __syncthreads();
            if (column < width) {
                for (int i = 0; i < held; ++i) {
                    if (tile[i] == row) sum += dout[(start + i) * width + column];
                }
            }
        }
        if (column < width) parts[((long long)part * rows + row) * width + column] = sum;
    }
}

template <class T>
__device__ void embedding_total(const real<T>* parts, T* grad, long long size, int count) {
    for (long long i = first_element(); i < size; i += element_stride()) {
        real<T> sum = 0;
        for (int part = 0; part < count; ++part) sum += parts[part * size + i];
        grad[i] = sum;
    }
}

FOR_ALL_TYPES(embedding_parts,
    (const T* __restrict__ dout, const long long* __restrict__ indices, real<T>* __restrict__ parts, long long count,
     int width, int rows, long long segment),
    (dout, indices, parts, count, width, rows, segment))
FOR_ALL_TYPES(embedding_total,
    (const real<T>* __restrict__ parts, T* __restrict__ grad, long long size, int count), (parts, grad, size, count))
