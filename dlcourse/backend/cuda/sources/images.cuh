// What happens to one element of an image on its way into a batch (backend/kernels/images.py says what each means).
#pragma once

#include "common.cuh"

// A whole number from 0 to bound - 1 of a random word.
__device__ inline int below(unsigned word, int bound) { return (int)(((unsigned long long)word * bound) >> 32); }

__device__ inline bool near(int place, int middle, int length) {
    const int from = middle - length / 2;
    return place >= from && place < from + length;
}

// Of element `at` of an augmented image: where it comes from, by the image's five random words. False where there is no
// such pixel, or a hole.
__device__ inline bool moved(
    const unsigned* word, int& at, int height, int width, int channels, int flip, int crop, int cutout
) {
    const int channel = at % channels, x = at / channels % width, y = at / channels / width;
    const int v = y + below(word[1], 2 * crop + 1) - crop, u = x + below(word[2], 2 * crop + 1) - crop;
    if (v < 0 || v >= height || u < 0 || u >= width) return false;
    at = (v * width + (flip && below(word[0], 2) ? width - 1 - u : u)) * channels + channel;
    return !(near(y, below(word[3], height), cutout) && near(x, below(word[4], width), cutout));
}

template <class T, class In>
__device__ real<T> normalized(In pixel, const real<T>* shift, const real<T>* scale, int at, int period) {
    const real<T> value = (real<T>)pixel;
    return shift ? (value - shift[at % period]) / scale[at % period] : value;
}
