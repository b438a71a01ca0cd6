// Philox4x64-10 (Salmon et al. 2011; backend/kernels/random.py is the specification).
#pragma once

#include "common.cuh"

typedef unsigned long long Word;

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

// The 32-bit word at a place of the sequence.
__device__ inline unsigned philox_word(long long at, Word seed, Word purpose, Word draw, Word step) {
    Word words[4];
    philox(words, at / 8, seed, purpose, draw, step);
    const int place = (int)(at % 8 / 2);  // chosen, not indexed: an array that is indexed lies in memory
    const Word word = place < 2 ? (place == 0 ? words[0] : words[1]) : (place == 2 ? words[2] : words[3]);
    return (unsigned)(word >> (at % 2 * 32));
}
