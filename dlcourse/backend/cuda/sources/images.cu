// A batch of images in one kernel: gather, normalize, flip, crop, cut out (backend/kernels/images.py says what each means).
// A thread makes elements of the batch; the set may be bytes, so that it stays on the device a quarter as large.
#include "images.cuh"

template <class T, class In>
__device__ void make(
    const In* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const long long sample = i / size, image = rows ? rows[sample] : sample;
        int at = (int)(i % size);
        bool seen = true;
        if (words) seen = moved(words + sample * 5, at, height, width, channels, flip, crop, cutout);
        real<T> value = 0;
        if (seen) value = normalized<T>(images[image * size + at], shift, scale, at, period);
        out[i] = value;
    }
}

template <class T>
__device__ void image_batch_bytes(
    const unsigned char* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    make<T>(images, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout);
}

template <class T>
__device__ void image_batch_same(
    const T* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    make<T>(images, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout);
}

FOR_ALL_TYPES(image_batch_bytes,
    (const unsigned char* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
     T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout),
    (images, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout))
FOR_ALL_TYPES(image_batch_same,
    (const T* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
     T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout),
    (images, rows, shift, scale, words, out, n, size, period, height, width, channels, flip, crop, cutout))
