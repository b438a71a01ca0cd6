// Sums down the columns of a matrix (M, C) in two stages, always in one order, and what goes over such a matrix with them.
//
// A block of 256 threads takes `width` columns (a power of two up to 32) and every gridDim.y-th group of rows; a thread has
// V neighbors of a row, 1 or 4, which it reads and writes at once. First stage: each block leaves two sums a column in partial
// (2, gridDim.y, C). Second stage: the last block of these columns adds the gridDim.y parts in order, in double.
#pragma once

#include "last_block.cuh"
#include "packs.cuh"

constexpr int COLUMN_THREADS = 256, COLUMN_WARPS = COLUMN_THREADS / 32;

// The first of a thread's columns, and its rows: `first`, and so on by `step`. `base` is the block's first row.
template <int V>
struct Spot {
    int column;
    long long base, first, step;

    __device__ explicit Spot(int width) {
        const int lanes = width / V, groups = COLUMN_THREADS / lanes;
        column = blockIdx.x * width + threadIdx.x % lanes * V;
        base = (long long)blockIdx.y * groups;
        first = base + threadIdx.x / lanes;
        step = (long long)gridDim.y * groups;
    }
};

// How many rows a thread reads before it computes with the first: what hides the time that memory takes.
template <class T>
constexpr int AHEAD = sizeof(real<T>) == 8 ? 2 : 4;

// Each thread's two sums for V columns to the block's for `width`, in partial. `shared` holds COLUMN_WARPS * 2 * width.
template <int V, class R>
__device__ void leave_sums(R (&first)[V], R (&second)[V], R* partial, int columns, int width, R* shared) {
    const int lanes = width / V, lane = threadIdx.x % 32;
    R* own = shared + threadIdx.x / 32 * 2 * width + lane * V;
#pragma unroll
    for (int v = 0; v < V; ++v) {
        for (int offset = lanes; offset < 32; offset *= 2) {
            first[v] += __shfl_xor_sync(FULL_WARP, first[v], offset);
            second[v] += __shfl_xor_sync(FULL_WARP, second[v], offset);
        }
        if (lane < lanes) {
            own[v] = first[v];
            own[width + v] = second[v];
        }
    }
    __syncthreads();
    const int which = threadIdx.x / width, column = blockIdx.x * width + threadIdx.x % width;
    if (which < 2 && column < columns) {
        R total = 0;
        for (int warp = 0; warp < COLUMN_WARPS; ++warp) total += shared[warp * 2 * width + threadIdx.x];
        partial[((long long)which * gridDim.y + blockIdx.y) * columns + column] = total;
    }
}

// Whether this block is the last of its columns; then it has their totals: [0 .. width) the first sums, [width .. 2 width) the
// second. `arrived`, a counter for each blockIdx.x, is not used with one block for all rows.
template <class R>
__device__ bool column_totals(const R* partial, int* arrived, int columns, int width, double* totals) {
    if (gridDim.y == 1) __syncthreads();
    else if (!last_to_arrive(arrived + blockIdx.x, gridDim.y)) return false;
    __shared__ double pieces[COLUMN_THREADS];
    const int sums = 2 * width, own = threadIdx.x % sums, slice = threadIdx.x / sums, slices = COLUMN_THREADS / sums;
    const int column = blockIdx.x * width + own % width;
    double total = 0;
    if (column < columns) {
        const R* part = partial + (long long)(own / width) * gridDim.y * columns + column;
#pragma unroll 8
        for (int i = slice; i < (int)gridDim.y; i += slices) total += (double)part[(long long)i * columns];
    }
    pieces[threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.x < sums) {
        total = 0;
        for (int i = 0; i < slices; ++i) total += pieces[i * sums + threadIdx.x];
        totals[threadIdx.x] = total;
    }
    __syncthreads();
    return true;
}
