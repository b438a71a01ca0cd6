// Division by a number that is known before a kernel starts: a product's upper half, a sum and a shift, where a division by
// a number in a register is some twenty instructions in 32 bits and some hundred in 64.
#pragma once

#include "common.cuh"

// As cuda/program.py's divisor() makes it: the factor in the lower 32 bits, the shift above them.
using Divisor = unsigned long long;

// n / divisor for n < 2^31 (Granlund and Montgomery 1994).
__device__ inline unsigned quotient(unsigned n, Divisor by) { return (__umulhi(n, (unsigned)by) + n) >> (unsigned)(by >> 32); }

// Takes from `rest` its remainder by `size`, whose divisor `by` is, and leaves the quotient there.
__device__ inline int taken(unsigned& rest, int size, Divisor by) {
    const unsigned whole = rest;
    rest = quotient(whole, by);
    return (int)(whole - rest * size);
}
