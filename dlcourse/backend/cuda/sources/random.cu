// Random bits by Philox, and dropout by them: a thread makes a block of eight 32-bit words. The step is the device's counter
// and so many more where there is a pointer.
#include "packs.cuh"
#include "philox.cuh"

#define PLACE Word seed, Word purpose, Word draw, const long long* step_at, long long step

extern "C" __global__ void philox_bits_uint(
    unsigned* out, long long n, unsigned long long seed, unsigned long long purpose, unsigned long long draw,
    const long long* step_at, long long step
) {
    const Word now = (Word)counted(step_at, step);
    const bool packs = packable<8>(out);
    for (long long block = first_element(); block * 8 < n; block += element_stride()) {
        Word words[4];
        philox(words, block, seed, purpose, draw, now);
        if (packs && block * 8 + 8 <= n) {
            Pack<unsigned, 8> eight;
            for (int i = 0; i < 8; ++i) eight.at[i] = (unsigned)(words[i / 2] >> (i % 2 * 32));
            put_pack<8>(out, block, eight);
            continue;
        }
        for (int i = 0; i < 8; ++i) {
            if (block * 8 + i < n) out[block * 8 + i] = (unsigned)(words[i / 2] >> (i % 2 * 32));
        }
    }
}

// y = scale x where the element's word is below the threshold, else 0.
template <class T>
__device__ void dropout(const T* x, T* y, unsigned char* kept, long long n, Word threshold, real<T> scale, PLACE) {
    const Word now = (Word)counted(step_at, step);
    const bool packs = packable<8>(x, y, kept);
    for (long long block = first_element(); block * 8 < n; block += element_stride()) {
        Word words[4];
        philox(words, block, seed, purpose, draw, now);
        const auto stays = [&](int k) { return (words[k / 2] >> (k % 2 * 32) & 0xffffffffull) < threshold; };
        // A NaN that is dropped stays one, as in the reference.
        if (packs && block * 8 + 8 <= n) {
            const auto in = pack_at<8>(x, block);
            Pack<T, 8> out;
            Pack<unsigned char, 8> mask;
            for (int k = 0; k < 8; ++k) {
                mask.at[k] = stays(k);
                out.at[k] = in.at[k] * (real<T>)stays(k) * scale;
            }
            put_pack<8>(kept, block, mask);
            put_pack<8>(y, block, out);
            continue;
        }
        for (int k = 0; k < 8; ++k) {
            const long long i = block * 8 + k;
            if (i >= n) return;
            kept[i] = stays(k);
            y[i] = x[i] * (real<T>)stays(k) * scale;
        }
    }
}

template <class T>
__device__ void masked(const T* x, const unsigned char* kept, T* y, long long n, real<T> scale) {
    map<2>([=](real<T> v, unsigned char stays) { return stays ? v * scale : (real<T>)0; }, n, y, x, kept);
}

FOR_ALL_TYPES(dropout,
    (const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ kept, long long n,
     unsigned long long threshold, real<T> scale, unsigned long long seed, unsigned long long purpose,
     unsigned long long draw, const long long* step_at, long long step),
    (x, y, kept, n, threshold, scale, seed, purpose, draw, step_at, step))
FOR_ALL_TYPES(masked,
    (const T* __restrict__ x, const unsigned char* __restrict__ kept, T* __restrict__ y, long long n, real<T> scale),
    (x, kept, y, n, scale))
