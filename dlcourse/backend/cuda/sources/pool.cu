// Pooling of pictures (N, H, W, C): a thread for each element of the result, forward and backward; the gradient gathers
// from the windows that cover its place, so nothing is added atomically (backend/kernels/pool.py is the specification).
#include "common.cuh"

struct Pooling {
    int height, width, channels, out_height, out_width, rows, columns, down, right, top, left;
};

// Where an element of (N, height, width, C) lies; indices of 32 bits where they suffice, since division is dear in 64.
template <class I>
struct Place {
    int channel, x, y;
    I picture;

    __device__ Place(I index, int height, int width, int channels) {
        channel = (int)(index % (I)channels);
        index /= (I)channels;
        x = (int)(index % (I)width);
        index /= (I)width;
        y = (int)(index % (I)height);
        picture = index / (I)height;
    }
};

template <class T, class I>
__device__ void max_pool(const T* x, T* y, int* place, I total, Pooling p) {
    for (I i = blockIdx.x * (I)blockDim.x + threadIdx.x; i < total; i += (I)gridDim.x * blockDim.x) {
        const Place<I> at(i, p.out_height, p.out_width, p.channels);
        T best = log((T)0);  // minus infinity, which has no name without headers
        int found = 0;
        for (int r = 0; r < p.rows; ++r) {
            const int from_y = at.y * p.down + r - p.top;
            if (from_y < 0 || from_y >= p.height) continue;
            for (int c = 0; c < p.columns; ++c) {
                const int from_x = at.x * p.right + c - p.left;
                if (from_x < 0 || from_x >= p.width) continue;
                const T value = x[((at.picture * p.height + from_y) * p.width + from_x) * p.channels + at.channel];
                if (value > best || value != value) {  // a NaN is passed on
                    best = value;
                    found = r * p.columns + c;
                }
            }
        }
        y[i] = best;
        place[i] = found;
    }
}

template <class T, class I>
__device__ void avg_pool(const T* x, T* y, I total, Pooling p) {
    const T share = (T)1 / (T)(p.rows * p.columns);
    for (I i = blockIdx.x * (I)blockDim.x + threadIdx.x; i < total; i += (I)gridDim.x * blockDim.x) {
        const Place<I> at(i, p.out_height, p.out_width, p.channels);
        T sum = 0;
        for (int r = 0; r < p.rows; ++r) {
            const int from_y = at.y * p.down + r - p.top;
            if (from_y < 0 || from_y >= p.height) continue;
            for (int c = 0; c < p.columns; ++c) {
                const int from_x = at.x * p.right + c - p.left;
                if (from_x < 0 || from_x >= p.width) continue;
                sum += x[((at.picture * p.height + from_y) * p.width + from_x) * p.channels + at.channel];
            }
        }
        y[i] = sum * share;
    }
}

// dx: of every window over the place its dy, where `place` says that it was the largest (max), or a share of it (mean).
template <class T, class I, bool largest>
__device__ void pool_grad(const T* dout, const int* place, T* dx, I total, Pooling p) {
    const T share = (T)1 / (T)(p.rows * p.columns);
    for (I i = blockIdx.x * (I)blockDim.x + threadIdx.x; i < total; i += (I)gridDim.x * blockDim.x) {
        const Place<I> at(i, p.height, p.width, p.channels);
        T sum = 0;
        for (int r = 0; r < p.rows; ++r) {
            const int down = at.y + p.top - r;
            if (down < 0 || down % p.down || down / p.down >= p.out_height) continue;
            for (int c = 0; c < p.columns; ++c) {
                const int right = at.x + p.left - c;
                if (right < 0 || right % p.right || right / p.right >= p.out_width) continue;
                const I window = ((at.picture * p.out_height + down / p.down) * p.out_width + right / p.right)
                    * p.channels + at.channel;
                if (!largest) sum += dout[window];
                else if (place[window] == r * p.columns + c) sum += dout[window];
            }
        }
        dx[i] = largest ? sum : sum * share;
    }
}

#define POOLING \
    int height, int width, int channels, int out_height, int out_width, \
    int rows, int columns, int down, int right, int top, int left
#define GIVEN {height, width, channels, out_height, out_width, rows, columns, down, right, top, left}

// `small`: no array has 2^31 elements.
#define KERNELS(T) \
    extern "C" __global__ void max_pool_##T( \
        const T* x, T* y, int* place, long long total, int small, POOLING \
    ) { \
        const Pooling p = GIVEN; \
        if (small) max_pool<T, unsigned>(x, y, place, (unsigned)total, p); \
        else max_pool<T, unsigned long long>(x, y, place, total, p); \
    } \
    extern "C" __global__ void avg_pool_##T(const T* x, T* y, long long total, int small, POOLING) { \
        const Pooling p = GIVEN; \
        if (small) avg_pool<T, unsigned>(x, y, (unsigned)total, p); \
        else avg_pool<T, unsigned long long>(x, y, total, p); \
    } \
    extern "C" __global__ void max_pool_grad_##T( \
        const T* dout, const int* place, T* dx, long long total, int small, POOLING \
    ) { \
        const Pooling p = GIVEN; \
        if (small) pool_grad<T, unsigned, true>(dout, place, dx, (unsigned)total, p); \
        else pool_grad<T, unsigned long long, true>(dout, place, dx, total, p); \
    } \
    extern "C" __global__ void avg_pool_grad_##T(const T* dout, T* dx, long long total, int small, POOLING) { \
        const Pooling p = GIVEN; \
        if (small) pool_grad<T, unsigned, false>(dout, nullptr, dx, (unsigned)total, p); \
        else pool_grad<T, unsigned long long, false>(dout, nullptr, dx, total, p); \
    }

KERNELS(float)
KERNELS(double)
