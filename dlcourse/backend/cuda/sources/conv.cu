// What a convolution needs beside matrix products: the patches that the kernel sees, and the way back (images are
// (N, H, W, C); patches are (N H' W', kh kw C)). Both gather, so nothing is added by two threads.
#include "common.cuh"

template <class T>
__device__ void patches(
    const T* x, T* rows, long long n, int h, int w, int c, int oh, int ow, int kh, int kw,
    int sy, int sx, int py, int px, int dy, int dx
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const int channel = (int)(i % c), b = (int)(i / c % kw), a = (int)(i / c / kw % kh);
        const long long place = i / c / kw / kh;
        const int v = (int)(place / ow % oh) * sy + a * dy - py, u = (int)(place % ow) * sx + b * dx - px;
        const long long image = place / ow / oh;
        rows[i] = v >= 0 && v < h && u >= 0 && u < w ? x[((image * h + v) * w + u) * c + channel] : (T)0;
    }
}

template <class T>
__device__ void fold(
    const T* rows, T* x, long long n, int h, int w, int c, int oh, int ow, int kh, int kw,
    int sy, int sx, int py, int px, int dy, int dx
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const int channel = (int)(i % c), u = (int)(i / c % w), v = (int)(i / c / w % h);
        const long long image = i / c / w / h;
        real<T> sum = 0;
        for (int a = 0; a < kh; ++a) {
            const int top = v + py - a * dy;
            if (top < 0 || top % sy || top / sy >= oh) continue;
            for (int b = 0; b < kw; ++b) {
                const int left = u + px - b * dx;
                if (left < 0 || left % sx || left / sx >= ow) continue;
                const long long place = (image * oh + top / sy) * ow + left / sx;
                sum += rows[((place * kh + a) * kw + b) * c + channel];
            }
        }
        x[i] = sum;
    }
}

FOR_ALL_TYPES(patches,
    (const T* x, T* rows, long long n, int h, int w, int c, int oh, int ow, int kh, int kw,
     int sy, int sx, int py, int px, int dy, int dx),
    (x, rows, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px, dy, dx))
FOR_ALL_TYPES(fold,
    (const T* rows, T* x, long long n, int h, int w, int c, int oh, int ow, int kh, int kw,
     int sy, int sx, int py, int px, int dy, int dx),
    (rows, x, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px, dy, dx))
