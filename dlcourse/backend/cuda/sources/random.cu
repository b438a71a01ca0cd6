// Philox4x64-10 (Salmon et al. 2011; backend/kernels/random.py is the specification), and dropout by it: a thread makes a
// block of eight 32-bit words. The step is read from the device where there is a pointer.
#include "common.cuh"

typedef unsigned long long Word;

#define PLACE Word seed, Word purpose, Word draw, const Word* step_at, Word step

// The four words of a block (0, 1, ...) of the sequence; a word holds two of 32 bits, the low one first.
__device__ inline void philox(Word* words, long long block, Word seed, Word purpose, Word draw, Word step) {
    Word c0 = (Word)block + 1, c1 = draw, c2 = step, c3 = 0, k0 = seed, k1 = purpose;
    for (int round = 0; round < 10; ++round) {
        const Word high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0), low0 = 0xD2E7470EE14C6C93ull * c0;
        const Word high1 = __umul64hi(0xCA5A826395121157ull, c2), low1 = 0xCA5A826395121157ull * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

extern "C" __global__ void philox_bits_uint(
    unsigned* out, long long n, unsigned long long seed, unsigned long long purpose, unsigned long long draw,
    const unsigned long long* step_at, unsigned long long step
) {
    const Word now = current(step_at, step);
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
    const Word now = current(step_at, step);
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
    for (long long i = first_element(); i < n; i += element_stride()) y[i] = x[i] * (real<T>)kept[i] * scale;
}

FOR_ALL_TYPES(dropout,
    (const T* x, T* y, unsigned char* kept, long long n, unsigned long long threshold, real<T> scale,
     unsigned long long seed, unsigned long long purpose, unsigned long long draw, const unsigned long long* step_at,
     unsigned long long step),
    (x, y, kept, n, threshold, scale, seed, purpose, draw, step_at, step))
FOR_ALL_TYPES(masked,
    (const T* x, const unsigned char* kept, T* y, long long n, real<T> scale), (x, kept, y, n, scale))
