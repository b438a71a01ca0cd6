// Philox4x64-10 (Salmon et al. 2011; backend/kernels/random.py is the specification): a thread makes one block of eight
// 32-bit words. The step is read from the device where there is a pointer.
#include "common.cuh"

typedef unsigned long long Word;

extern "C" __global__ void philox_bits_uint(
    unsigned* out, long long n, unsigned long long seed, unsigned long long purpose, unsigned long long draw,
    const unsigned long long* step_at, unsigned long long step
) {
    const Word now = current(step_at, step);
    for (long long block = first_element(); block * 8 < n; block += element_stride()) {
        Word c0 = (Word)block + 1, c1 = draw, c2 = now, c3 = 0, k0 = seed, k1 = purpose;
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
        const Word words[4] = {c0, c1, c2, c3};
        for (int i = 0; i < 8; ++i) {
            if (block * 8 + i < n) out[block * 8 + i] = (unsigned)(words[i / 2] >> (i % 2 * 32));
        }
    }
}
