// A batch of pictures in one kernel: gather, normalise, flip, crop, cut out (backend/kernels/pictures.py says what each means).
// A thread makes elements of the batch; the set may be bytes, so that it stays on the device a quarter as large.
#include "pictures.cuh"

template <class T, class In>
__device__ void make(
    const In* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const long long sample = i / size, picture = rows ? rows[sample] : sample;
        int at = (int)(i % size);
        bool seen = true;
        if (words) seen = moved(words + sample * 5, at, height, width, channels, flip, crop, cutout);
        real<T> value = 0;
        if (seen) value = normalised<T>(pictures[picture * size + at], shift, scale, at, period);
        out[i] = value;
    }
}

template <class T>
__device__ void picture_batch_bytes(
    const unsigned char* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    make<T>(pictures, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout);
}

template <class T>
__device__ void picture_batch_same(
    const T* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    make<T>(pictures, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout);
}

FOR_ALL_TYPES(picture_batch_bytes,
    (const unsigned char* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
     T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout),
    (pictures, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout))
FOR_ALL_TYPES(picture_batch_same,
    (const T* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
     T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout),
    (pictures, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout))
