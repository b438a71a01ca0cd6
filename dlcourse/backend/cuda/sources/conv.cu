// What a convolution needs beside matrix products: the patches that the kernel sees, and the way back (images are
// (N, H, W, C); patches are (N H' W', kh kw C)). Both gather, so nothing is added by two threads. A thread has one place
// along blockIdx.x, in what comes again and again along y: its divisions are before the loop. Where `together` says so,
// channels are read and written 16 bytes at a time.
#include "packs.cuh"

constexpr int ROUNDS = 4;  // that a thread has on their way at once

struct Sizes {
    int images, h, w, c, oh, ow, kh, kw, sy, sx, py, px, dy, dx;
};

// Along x the patches of one row of y, along y the rows of all images.
template <class T, int N>
__device__ void patch_rows(const T* __restrict__ x, T* __restrict__ rows, const Sizes& s) {
    const int units = s.c / N, along = s.ow * s.kh * s.kw * units, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= along) return;
    const int unit = j % units, tap = j / units % (s.kh * s.kw), place = j / units / (s.kh * s.kw);
    const int u = place * s.sx + tap % s.kw * s.dx - s.px, down = tap / s.kw * s.dy - s.py;
    const bool across = u >= 0 && u < s.w;
    const int count = s.images * s.oh, step = gridDim.y * blockDim.y, first = blockIdx.y * blockDim.y + threadIdx.y;
    const int next_row = step % s.oh, next_image = step / s.oh;
    int row = first % s.oh;
    const long long width = (long long)s.w * units, move = ((long long)next_image * s.h + next_row * s.sy) * width;
    const long long carried = move + (s.h - (long long)s.oh * s.sy) * width;
    long long from = (first / s.oh * (long long)s.h + row * s.sy + down) * width + u * units + unit;
    long long to = (long long)first * along + j;
    for (int i = first; i < count; i += ROUNDS * step) {
        Pack<T, N> values[ROUNDS];
#pragma unroll
        for (int k = 0; k < ROUNDS; ++k) {
            const int v = row * s.sy + down;
            values[k] = Pack<T, N>{};
            if (across && v >= 0 && v < s.h && i + k * step < count) values[k] = pack_at<N>(x, from);
            row += next_row;
            const bool carry = row >= s.oh;
            row -= carry ? s.oh : 0;
            from += carry ? carried : move;
        }
#pragma unroll
        for (int k = 0; k < ROUNDS; ++k) {
            if (i + k * step < count) put_pack<N>(rows, to, values[k]);
            to += (long long)step * along;
        }
    }
}

struct Quotient {
    int whole, rest;
};
__device__ inline Quotient divided(int number, int by) { return {number / by, number % by}; }

// Along x an image, along y the images. Tap (a, b) saw pixel (v, u) from place ((v + py - a dy) / sy, (u + px - b dx) / sx)
// of y where both are whole numbers: where the remainders of minuend and subtrahend are the same.
template <class T, int N>
__device__ void fold_images(const T* __restrict__ rows, T* __restrict__ x, const Sizes& s, const Quotient* taps) {
    const int units = s.c / N, size = s.h * s.w * units, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= size) return;
    const int unit = j % units, u = j / units % s.w, v = j / units / s.w;
    const Quotient down = divided(v + s.py, s.sy), across = divided(u + s.px, s.sx);
    const long long image = (long long)s.oh * s.ow * s.kh * s.kw * units;
    const int step = gridDim.y * blockDim.y;
    for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < s.images; i += ROUNDS * step) {
        long long images[ROUNDS];  // beyond the last one that again, for nothing
        for (int k = 0; k < ROUNDS; ++k) images[k] = min(i + k * step, s.images - 1) * image;
        real<T> sums[ROUNDS][N];
        for (int k = 0; k < ROUNDS; ++k)
            for (int e = 0; e < N; ++e) sums[k][e] = 0;
        for (int a = 0; a < s.kh; ++a) {
            const int top = down.whole - taps[a].whole;
            if (down.rest != taps[a].rest || top < 0 || top >= s.oh) continue;
            for (int b = 0; b < s.kw; ++b) {
                const int left = across.whole - taps[s.kh + b].whole;
                if (across.rest != taps[s.kh + b].rest || left < 0 || left >= s.ow) continue;
                const long long place = (long long)top * s.ow + left;
                const long long at = ((place * s.kh + a) * s.kw + b) * units + unit;
                Pack<T, N> values[ROUNDS];
#pragma unroll
                for (int k = 0; k < ROUNDS; ++k) values[k] = pack_at<N>(rows, images[k] + at);
#pragma unroll
                for (int k = 0; k < ROUNDS; ++k)
                    for (int e = 0; e < N; ++e) sums[k][e] += values[k].at[e];
            }
        }
#pragma unroll
        for (int k = 0; k < ROUNDS; ++k) {
            if (i + k * step >= s.images) continue;
            Pack<T, N> values;
            for (int e = 0; e < N; ++e) values.at[e] = sums[k][e];
            put_pack<N>(x, (long long)(i + k * step) * size + j, values);
        }
    }
}

template <class T>
__device__ void patches(const T* x, T* rows, const Sizes& s, int together) {
    together > 1 ? patch_rows<T, PACKED<T>>(x, rows, s) : patch_rows<T, 1>(x, rows, s);
}

template <class T>
__device__ void fold(const T* rows, T* x, const Sizes& s, int together) {
    SHARED(Quotient, taps);  // of the kernel's rows, then of its columns
    const int threads = blockDim.x * blockDim.y;
    for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < s.kh + s.kw; i += threads) {
        taps[i] = i < s.kh ? divided(i * s.dy, s.sy) : divided((i - s.kh) * s.dx, s.sx);
    }
    __syncthreads();
    together > 1 ? fold_images<T, PACKED<T>>(rows, x, s, taps) : fold_images<T, 1>(rows, x, s, taps);
}

#define SIZES \
    int images, int h, int w, int c, int oh, int ow, int kh, int kw, int sy, int sx, int py, int px, int dy, int dx
#define GIVEN Sizes{images, h, w, c, oh, ow, kh, kw, sy, sx, py, px, dy, dx}

FOR_ALL_TYPES(patches, (const T* x, T* rows, SIZES, int together), (x, rows, GIVEN, together))
FOR_ALL_TYPES(fold, (const T* rows, T* x, SIZES, int together), (rows, x, GIVEN, together))
