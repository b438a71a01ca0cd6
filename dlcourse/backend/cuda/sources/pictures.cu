// A batch of pictures in one kernel: gather, normalise, flip, crop, cut out (backend/kernels/pictures.py says what each means).
// A thread makes elements of the batch; the set may be bytes, so that it stays on the device a quarter as large.
#include "common.cuh"

// A whole number from 0 to bound - 1 of a random word.
__device__ inline int below(unsigned word, int bound) { return (int)(((unsigned long long)word * bound) >> 32); }

__device__ inline bool near(int place, int middle, int length) {
    const int from = middle - length / 2;
    return place >= from && place < from + length;
}

template <class T, class In>
__device__ void make(
    const In* pictures, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words,
    T* out, long long n, int size, int period, int height, int width, int channels, int flip, int crop, int cutout
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const long long sample = i / size, picture = rows ? rows[sample] : sample;
        int at = (int)(i % size);
        bool seen = true;
        if (words) {
            const unsigned* word = words + sample * 5;
            const int channel = at % channels, x = at / channels % width, y = at / channels / width;
            const int v = y + below(word[1], 2 * crop + 1) - crop, u = x + below(word[2], 2 * crop + 1) - crop;
            seen = v >= 0 && v < height && u >= 0 && u < width;
            seen = seen && !(near(y, below(word[3], height), cutout) && near(x, below(word[4], width), cutout));
            at = (v * width + (flip && below(word[0], 2) ? width - 1 - u : u)) * channels + channel;
        }
        real<T> value = 0;
        if (seen) {
            value = (real<T>)pictures[picture * size + at];
            if (shift) value = (value - shift[at % period]) / scale[at % period];
        }
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
