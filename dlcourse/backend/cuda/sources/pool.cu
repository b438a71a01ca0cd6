// Pooling of images (N, H, W, C) (backend/kernels/pool.py). The gradients gather: each input element asks the windows that
// saw it, so nothing is added by two threads.
#include "common.cuh"

#define WINDOW int kh, int kw, int sy, int sx, int py, int px
#define SIZES int h, int w, int c, int oh, int ow

template <class T>
__device__ void max_pool(const T* x, T* y, unsigned char* place, long long n, SIZES, WINDOW) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const int channel = (int)(i % c), column = (int)(i / c % ow), row = (int)(i / c / ow % oh);
        const long long image = i / c / ow / oh;
        real<T> top = 0;
        int at = -1;
        for (int a = 0; a < kh; ++a) {
            const int v = row * sy + a - py;
            if (v < 0 || v >= h) continue;
            for (int b = 0; b < kw; ++b) {
                const int u = column * sx + b - px;
                if (u < 0 || u >= w) continue;
                const real<T> value = x[((image * h + v) * w + u) * c + channel];
                if (at < 0 || value > top || value != value) {
                    top = value;
                    at = a * kw + b;
                }
            }
        }
        y[i] = top;
        place[i] = (unsigned char)(at < 0 ? 0 : at);
    }
}

// What input element i gets: for each window that sees it, share(output element, place in the window).
template <class T, class Share>
__device__ void gather(T* dx, long long n, SIZES, WINDOW, Share share) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const int channel = (int)(i % c), u = (int)(i / c % w), v = (int)(i / c / w % h);
        const long long image = i / c / w / h;
        real<T> sum = 0;
        for (int a = 0; a < kh; ++a) {
            const int top = v + py - a;
            if (top < 0 || top % sy || top / sy >= oh) continue;
            for (int b = 0; b < kw; ++b) {
                const int left = u + px - b;
                if (left < 0 || left % sx || left / sx >= ow) continue;
                sum += share(((image * oh + top / sy) * ow + left / sx) * c + channel, a * kw + b);
            }
        }
        dx[i] = sum;
    }
}

template <class T>
__device__ void max_pool_grad(const T* dout, const unsigned char* place, T* dx, long long n, SIZES, WINDOW) {
    gather(dx, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px, [=](long long at, int which) {
        return place[at] == which ? (real<T>)dout[at] : 0;
    });
}

template <class T>
__device__ void avg_pool(const T* x, T* y, long long n, SIZES, WINDOW) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const int channel = (int)(i % c), column = (int)(i / c % ow), row = (int)(i / c / ow % oh);
        const long long image = i / c / ow / oh;
        real<T> sum = 0;
        for (int a = 0; a < kh; ++a) {
            const int v = row * sy + a - py;
            for (int b = 0; b < kw; ++b) {
                const int u = column * sx + b - px;
                if (v >= 0 && v < h && u >= 0 && u < w) sum += x[((image * h + v) * w + u) * c + channel];
            }
        }
        y[i] = sum * ((real<T>)1 / (kh * kw));
    }
}

template <class T>
__device__ void avg_pool_grad(const T* dout, T* dx, long long n, SIZES, WINDOW) {
    const real<T> part = (real<T>)1 / (kh * kw);
    gather(dx, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px, [=](long long at, int) { return dout[at] * part; });
}

FOR_ALL_TYPES(max_pool,
    (const T* x, T* y, unsigned char* place, long long n, int h, int w, int c, int oh, int ow,
     int kh, int kw, int sy, int sx, int py, int px),
    (x, y, place, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px))
FOR_ALL_TYPES(max_pool_grad,
    (const T* dout, const unsigned char* place, T* dx, long long n, int h, int w, int c, int oh, int ow,
     int kh, int kw, int sy, int sx, int py, int px),
    (dout, place, dx, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px))
FOR_ALL_TYPES(avg_pool,
    (const T* x, T* y, long long n, int h, int w, int c, int oh, int ow, int kh, int kw, int sy, int sx, int py, int px),
    (x, y, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px))
FOR_ALL_TYPES(avg_pool_grad,
    (const T* dout, T* dx, long long n, int h, int w, int c, int oh, int ow,
     int kh, int kw, int sy, int sx, int py, int px),
    (dout, dx, n, h, w, c, oh, ow, kh, kw, sy, sx, py, px))
