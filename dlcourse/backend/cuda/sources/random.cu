// Random bits by Philox, and dropout by them: a thread makes a block of eight 32-bit words. The step is the device's counter
// and so many more where there is a pointer.
#include "philox.cuh"

#define PLACE Word seed, Word purpose, Word draw, const long long* step_at, long long step

extern "C" __global__ void philox_bits_uint(
    unsigned* out, long long n, unsigned long long seed, unsigned long long purpose, unsigned long long draw,
    const long long* step_at, long long step
) {
    const Word now = (Word)counted(step_at, step);
    for (long long block = first_element(); block * 8 < n; block += element_stride()) {
        Word words[4];
        philox(words, block, seed, purpose, draw, now);
        for (int i = 0; i < 8; ++i) {
            if (block * 8 + i < n) out[block * 8 + i] = (unsigned)(words[i / 2] >> (i % 2 * 32));
        }
    }
}

// y = scale x where the element's word is below the threshold, else 0.
template <class T>
__device__ void dropout(const T* x, T* y, unsigned char* kept, long long n, Word threshold, real<T> scale, PLACE) {
    const Word now = (Word)counted(step_at, step);
    for (long long block = first_element(); block * 8 < n; block += element_stride()) {
        Word words[4];
        philox(words, block, seed, purpose, draw, now);
        for (int k = 0; k < 8; ++k) {
            const long long i = block * 8 + k;
            if (i >= n) return;
            const bool stays = (words[k / 2] >> (k % 2 * 32) & 0xffffffffull) < threshold;
            kept[i] = stays;
            y[i] = x[i] * (real<T>)stays * scale;  // a NaN that is dropped stays one, as in the reference
        }
    }
}

template <class T>
__device__ void masked(const T* x, const unsigned char* kept, T* y, long long n, real<T> scale) {
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = kept[i] ? x[i] * scale : (real<T>)0;
}

FOR_ALL_TYPES(dropout,
    (const T* x, T* y, unsigned char* kept, long long n, unsigned long long threshold, real<T> scale,
     unsigned long long seed, unsigned long long purpose, unsigned long long draw, const long long* step_at,
     long long step),
    (x, y, kept, n, threshold, scale, seed, purpose, draw, step_at, step))
FOR_ALL_TYPES(masked,
    (const T* x, const unsigned char* kept, T* y, long long n, real<T> scale), (x, kept, y, n, scale))
