// Sums down the columns of a matrix (M, C) in two stages, always in one order.
//
// A block of 256 threads takes `width` columns (a power of two up to 32) and every gridDim.y-th group of 256 / width rows.
// First stage: each block leaves two sums a column in partial (2, gridDim.y, C). Second stage: the kernel that needs the totals adds
// the gridDim.y parts in order, in double; every block that does so gets the same bits.
#pragma once

#include "common.cuh"

constexpr int COLUMN_THREADS = 256;

// Pairs(row, column, first, second) adds one element's share to the two sums.
template <class T, class Pairs>
__device__ void column_partials(Pairs pairs, T* partial, long long rows, int columns, int width, T* shared) {
    const int lane = threadIdx.x % width, group = threadIdx.x / width, groups = COLUMN_THREADS / width;
    const int column = blockIdx.x * width + lane;
    T first = 0, second = 0;
    if (column < columns) {
        const long long step = (long long)gridDim.y * groups;
        for (long long row = (long long)blockIdx.y * groups + group; row < rows; row += step) {
            pairs(row, column, first, second);
        }
    }
    T* firsts = shared;
    T* seconds = shared + COLUMN_THREADS;
    firsts[threadIdx.x] = first;
    seconds[threadIdx.x] = second;
    __syncthreads();
    for (int half = groups / 2; half > 0; half /= 2) {  // groups is a power of two
        if (group < half) {
            firsts[threadIdx.x] += firsts[threadIdx.x + half * width];
            seconds[threadIdx.x] += seconds[threadIdx.x + half * width];
        }
        __syncthreads();
    }
    if (group == 0 && column < columns) {
        partial[(long long)blockIdx.y * columns + column] = firsts[lane];
        partial[(long long)(gridDim.y + blockIdx.y) * columns + column] = seconds[lane];
    }
}

// The totals of this block's columns: totals[0 .. width) the first sums, totals[32 .. 32 + width) the second.
template <class T>
__device__ void column_totals(const T* partial, int parts, int columns, int width, double* totals) {
    if (threadIdx.x < 2 * width) {
        const int lane = threadIdx.x % width, which = threadIdx.x / width;
        const int column = blockIdx.x * width + lane;
        double total = 0;
        if (column < columns) {
            const T* part = partial + (long long)which * parts * columns + column;
            for (int i = 0; i < parts; ++i) total += (double)part[(long long)i * columns];
        }
        totals[which * 32 + lane] = total;
    }
    __syncthreads();
}
