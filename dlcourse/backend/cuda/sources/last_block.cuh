// Sums over all blocks of a kernel without a second one: every block leaves its part, and the last to arrive adds the parts.
// Which block that is differs from run to run; the order in which it adds does not.
#pragma once

// Whether this block is the last of `blocks` to come here; what the others wrote before is then seen by all its threads.
// `arrived` is 0 before the kernel, and 0 again after the last block. Every thread of the block has to come. The fences are
// one thread's: the barrier before carries the block's writes to it, the one behind carries what it sees to the block. What
// other blocks wrote is never read through `const __restrict__`, whose loads may take what was there before.
__device__ inline bool last_to_arrive(int* arrived, int blocks) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        __threadfence();
        last = atomicAdd(arrived, 1) == blocks - 1;
        if (last) {
            *arrived = 0;
            __threadfence();
        }
    }
    __syncthreads();
    return last;
}
